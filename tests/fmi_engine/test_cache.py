import errno
import hashlib
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from fmi_engine.cache import VERSION, PrimitiveCache, hash_images
from fmi_engine.classifier import Classifier, Preprocessing
from fmi_engine.errors import EngineError
from fmi_engine.inversion import Job, Run, invert
from fmi_engine.natural import Examples
from fmi_engine.presets import PARAMETRIZATIONS, Preset
from fmi_engine.probe import find_layer, layers_of
from fmi_engine.reference import LayerReference, Reference
from fmi_engine.types import FilterRef, FloatArray, Inversion
from tests.fmi_engine.tiny import Deep, Unused, deep, plain, seeded, varied

SIDE = 8
SOURCES = varied(3, SIDE, 3, seed=4)
SHORT = Preset(standardised=True, selectivity=0.1, optimiser="sgd", steps=2)
JOB = Job(FilterRef("third", 1), source=0, seed=3)


def reference(rise: float = 0.0, sigma: float = 0.5) -> Reference:
    """What is normal at `first` and `third`; of `third` the liveliest filter may usually be livelier."""

    def normal(channels: int) -> LayerReference:
        rows = np.ones((2, channels), np.float32)
        return LayerReference(rows, rows, np.full(channels, 0.5, np.float32))

    layers = {"first": normal(4), "third": normal(6)}
    layers["third"].energy[:, 2] += rise
    layers["third"].sigma[0] = sigma
    return Reference(layers, np.array([8, 8]))


@dataclass(frozen=True)
class Asked:
    """Everything that one picture depends on."""

    classifier: Classifier
    job: Job = JOB
    sources: NDArray[np.uint8] = field(default_factory=lambda: SOURCES)
    preset: Preset = SHORT
    reference: Reference | None = None
    examples: Examples | None = None

    def made(self, cache: PrimitiveCache | None) -> Inversion:
        (found,) = invert(
            self.classifier,
            [self.job],
            self.sources,
            self.preset,
            self.reference,
            self.examples,
            Run(cache=cache),
        )
        return found


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def passes(network: nn.Module) -> list[str]:
    """A list that grows with every forward pass that the network begins."""
    begun: list[str] = []
    network.register_forward_pre_hook(lambda *_: begun.append("pass"))
    return begun


def assert_same(one: Inversion, other: Inversion) -> None:
    assert (one.filter, one.source, one.seed, one.layout) == (
        other.filter,
        other.source,
        other.seed,
        other.layout,
    )
    assert one.residual == other.residual
    assert one.image.dtype == other.image.dtype == np.float32
    assert np.array_equal(one.image, other.image)


JOBS = [
    JOB,
    Job(FilterRef("first", 2), source=2, seed=0),
    Job(FilterRef("third", 1), source=0, seed=3, layout="shuffled"),
    Job(FilterRef("third", 5), source=1, seed=4, layout="constant"),
]


def test_a_second_run_makes_no_forward_pass_and_gives_the_very_pictures(tmp_path: Path) -> None:
    classifier = deep(SIDE)
    begun = passes(classifier.network)
    done: list[int] = []
    first = invert(classifier, JOBS, SOURCES, SHORT, run=Run(cache=PrimitiveCache(tmp_path)))
    assert len(begun) > 0
    begun.clear()
    again = invert(
        classifier, JOBS, SOURCES, SHORT, run=Run(progress=done.append, cache=PrimitiveCache(tmp_path))
    )
    assert begun == []
    assert done == [4]
    for one, other in zip(first, again, strict=True):
        assert_same(one, other)
    assert len(files(tmp_path)) == 4


def test_without_a_cache_nothing_is_kept_and_the_picture_is_the_same(tmp_path: Path) -> None:
    asked = Asked(deep(SIDE))
    kept = asked.made(PrimitiveCache(tmp_path))
    begun = passes(asked.classifier.network)
    assert_same(asked.made(None), kept)
    assert len(begun) > 0


def test_only_what_is_missing_is_made_and_the_order_is_that_of_the_jobs(tmp_path: Path) -> None:
    classifier, cache = deep(SIDE), PrimitiveCache(tmp_path)
    expected = invert(classifier, JOBS, SOURCES, SHORT)
    invert(classifier, JOBS[1:3], SOURCES, SHORT, run=Run(cache=cache))
    done: list[int] = []
    found = invert(classifier, [*JOBS, JOBS[1]], SOURCES, SHORT, run=Run(progress=done.append, cache=cache))
    assert done == [2, 2]  # two that are held, then the two of `third`
    for one, other in zip([*expected, expected[1]], found, strict=True):
        assert (one.filter, one.source, one.seed, one.layout) == (
            other.filter,
            other.source,
            other.seed,
            other.layout,
        )
        assert np.abs(one.image - other.image).max() < 0.25 / 255


def test_the_same_image_in_another_place_is_the_same_source(tmp_path: Path) -> None:
    classifier, cache = deep(SIDE), PrimitiveCache(tmp_path)
    twice = np.stack([SOURCES[0], SOURCES[0]])
    (first,) = invert(classifier, [JOB], twice, SHORT, run=Run(cache=cache))
    begun = passes(classifier.network)
    (second,) = invert(classifier, [replace(JOB, source=1)], twice, SHORT, run=Run(cache=cache))
    assert begun == []
    assert (first.source, second.source) == (0, 1)
    assert np.array_equal(first.image, second.image)


# What a key depends on


def other_weight() -> Classifier:
    network = seeded(Deep())
    with torch.no_grad():
        network.get_parameter("third.0.bias")[0] += 0.01
    return Classifier(network, ["a", "b", "c"], plain(SIDE, 3))


def other_pixel(image: int) -> NDArray[np.uint8]:
    sources = SOURCES.copy()
    sources[image, 2, 3, 1] ^= 1
    return sources


CHANGES: dict[str, Callable[[Asked], Asked]] = {
    "one weight": lambda asked: replace(asked, classifier=other_weight()),
    "another network of the same weights": lambda asked: replace(
        asked, classifier=Classifier(seeded(Unused()), ["a", "b", "c"], plain(SIDE, 3))
    ),
    "preprocessing": lambda asked: replace(
        asked,
        classifier=Classifier(
            seeded(Deep()), ["a", "b", "c"], Preprocessing(SIDE, SIDE, 3, (0.1,) * 3, (1.0,) * 3)
        ),
    ),
    "layer": lambda asked: replace(asked, job=replace(JOB, filter=FilterRef("first", 1))),
    "channel": lambda asked: replace(asked, job=replace(JOB, filter=FilterRef("third", 2))),
    "source": lambda asked: replace(asked, job=replace(JOB, source=1)),
    "one pixel of the source": lambda asked: replace(asked, sources=other_pixel(0)),
    "one pixel of what is normal": lambda asked: replace(asked, sources=other_pixel(2)),
    "seed": lambda asked: replace(asked, job=replace(JOB, seed=4)),
    "layout shuffled": lambda asked: replace(asked, job=replace(JOB, layout="shuffled")),
    "layout constant": lambda asked: replace(asked, job=replace(JOB, layout="constant")),
    "a reference": lambda asked: replace(asked, reference=reference()),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_of_anything_makes_another_picture(change: Callable[[Asked], Asked], tmp_path: Path) -> None:
    asked = Asked(Classifier(seeded(Deep()), ["a", "b", "c"], plain(SIDE, 3)))
    cache = PrimitiveCache(tmp_path)
    before = asked.made(cache)
    changed = change(asked)
    after = changed.made(cache)
    assert len(files(tmp_path)) == 2
    assert_same(after, changed.made(None))
    assert not np.array_equal(after.image, before.image)
    assert_same(asked.made(cache), before)  # the old one is still there
    assert len(files(tmp_path)) == 2


@pytest.mark.parametrize("changed", [reference(rise=20.0), reference(sigma=0.6)], ids=["energy", "sigma"])
def test_a_change_of_the_reference_makes_another_picture(changed: Reference, tmp_path: Path) -> None:
    asked, cache = Asked(deep(SIDE), reference=reference()), PrimitiveCache(tmp_path)
    before = asked.made(cache)
    after = replace(asked, reference=changed).made(cache)
    assert len(files(tmp_path)) == 2
    assert not np.array_equal(after.image, before.image)


def test_the_reference_of_other_layers_and_the_batch_change_nothing(tmp_path: Path) -> None:
    asked, cache = Asked(deep(SIDE), reference=reference()), PrimitiveCache(tmp_path)
    before = asked.made(cache)
    begun = passes(asked.classifier.network)
    alone = Reference({"third": reference().layers["third"]}, np.array([9, 9]))
    assert_same(replace(asked, reference=alone).made(cache), before)
    invert(asked.classifier, [JOB], SOURCES, SHORT, reference(), run=Run(1, cache=cache))
    assert begun == []


def test_a_change_of_the_examples_makes_another_picture_where_it_is_to_be_like_them(tmp_path: Path) -> None:
    """Of two images, one of them with one pixel changed; or, where none are given, the sources."""
    cache = PrimitiveCache(tmp_path)
    asked = Asked(deep(SIDE), preset=replace(SHORT, natural=1.0), examples=Examples(SOURCES[:2], {}))
    before = asked.made(cache)
    for count, other in enumerate((Examples(other_pixel(1)[:2], {}), Examples(SOURCES[:1], {}), None), 2):
        after = replace(asked, examples=other).made(cache)
        assert len(files(tmp_path)) == count
        assert not np.array_equal(after.image, before.image)
    begun = passes(asked.classifier.network)
    assert_same(replace(asked, examples=Examples(SOURCES[:2].copy(), {})).made(cache), before)
    assert_same(replace(asked, examples=Examples(SOURCES, {})).made(cache), after)  # those were the sources
    assert begun == []


def test_examples_change_nothing_where_no_picture_is_to_be_like_them(tmp_path: Path) -> None:
    asked, cache = Asked(deep(SIDE)), PrimitiveCache(tmp_path)
    before = asked.made(cache)
    begun = passes(asked.classifier.network)
    assert_same(replace(asked, examples=Examples(SOURCES[:1], {})).made(cache), before)
    assert begun == []


def test_peaks_that_are_known_make_the_same_picture(tmp_path: Path) -> None:
    """They follow from the images and the network, so the cache need not ask for them."""
    asked, cache = Asked(deep(SIDE), preset=replace(SHORT, natural=1.0)), PrimitiveCache(tmp_path)
    layer = find_layer(layers_of(asked.classifier), "third")
    known = Examples(SOURCES, {}).at(asked.classifier, layer)
    assert_same(replace(asked, examples=known).made(None), asked.made(None))
    assert_same(replace(asked, examples=known).made(cache), asked.made(cache))
    assert len(files(tmp_path)) == 1


def changed_fields() -> list[Preset]:
    """Presets that differ from `SHORT` in one field each, every field once."""
    words = {"parametrization": "spectrum", "optimiser": "adam", "start": "uniform"}
    presets = []
    for each in fields(Preset):
        value = getattr(SHORT, each.name)
        other = not value if isinstance(value, bool) else words.get(each.name) or value + 1
        changed: dict[str, Any] = {each.name: other}
        presets.append(replace(SHORT, **changed))
    return presets


def test_a_change_of_any_field_of_the_preset_makes_a_new_picture(tmp_path: Path) -> None:
    presets = [*changed_fields(), replace(SHORT, learning_rate=0.100000001)]
    assert len(presets) == len(asdict(SHORT)) + 1
    asked, cache = Asked(deep(SIDE)), PrimitiveCache(tmp_path)
    asked.made(cache)
    begun = passes(asked.classifier.network)
    for count, preset in enumerate(presets, start=2):
        begun.clear()
        replace(asked, preset=preset).made(cache)
        assert len(files(tmp_path)) == count, preset
        assert len(begun) > 0


def test_parametrisations_have_pictures_of_their_own(tmp_path: Path) -> None:
    asked, cache = Asked(deep(SIDE)), PrimitiveCache(tmp_path)
    pictures = [
        replace(asked, preset=replace(SHORT, parametrization=name)).made(cache).image
        for name in PARAMETRIZATIONS
    ]
    assert len(files(tmp_path)) == len(pictures) == 5
    assert all(not np.array_equal(a, b) for i, a in enumerate(pictures) for b in pictures[:i])


def test_a_key_is_the_hash_of_the_version_and_all_parts() -> None:
    by_hand = hashlib.sha256(f"{VERSION}\nweights\nlayer:3".encode()).hexdigest()
    assert PrimitiveCache.key("weights", "layer:3") == by_hand
    assert PrimitiveCache.key("weights", "layer", "3") != PrimitiveCache.key("weights", "layer3")


def test_images_are_hashed_by_shape_type_and_values() -> None:
    zeros = np.zeros((2, 2, 3, 1), np.uint8)
    (one, other) = hash_images(zeros)
    assert one == other
    assert one == hashlib.sha256(b"(2, 3, 1)|uint8|" + bytes(6)).hexdigest()
    assert hash_images(zeros.reshape(2, 3, 2, 1))[0] != one
    assert hash_images(zeros.astype(np.int8))[0] != one
    assert hash_images(zeros + np.uint8(1))[0] != one
    turned = np.arange(6, dtype=np.uint8).reshape(1, 2, 3).transpose(0, 2, 1)
    assert hash_images(turned) == hash_images(turned.copy())


# Damage


def kept(folder: Path, image: FloatArray) -> tuple[PrimitiveCache, Path, Inversion]:
    cache, inversion = PrimitiveCache(folder), Inversion(JOB.filter, JOB.source, JOB.seed, image, 0.25)
    cache.write("ab12", inversion)
    (path,) = files(folder)
    return cache, path, inversion


def test_what_is_kept_is_read_as_it_was(tmp_path: Path) -> None:
    image = np.random.default_rng(0).random((3, 5, 4), dtype=np.float32)
    cache, _, inversion = kept(tmp_path / "a" / "b", image)  # folders are made
    read = cache.read("ab12", JOB)
    assert read is not None
    assert_same(read, inversion)
    assert cache.read("ab13", JOB) is None


def test_a_file_damaged_in_any_byte_or_cut_anywhere_is_absent_or_right(tmp_path: Path) -> None:
    """Bytes that nothing is read from, a time of day, may change; a wrong picture never comes out."""
    image = np.random.default_rng(0).random((1, 3, 4), dtype=np.float32)
    cache, path, inversion = kept(tmp_path, image)
    whole = path.read_bytes()
    absent = 0
    for i in range(len(whole)):
        path.write_bytes(whole[:i] + bytes([whole[i] ^ 0xFF]) + whole[i + 1 :])
        read = cache.read("ab12", JOB)
        absent += read is None
        if read is not None:
            assert_same(read, inversion)
        path.write_bytes(whole[:i])
        assert cache.read("ab12", JOB) is None
    assert absent > len(whole) / 2


def saved(array: NDArray[Any]) -> Callable[[Path], None]:
    def save(path: Path) -> None:
        with path.open("wb") as file:  # by its name NumPy would add an ending
            np.save(file, array, allow_pickle=True)

    return save


DAMAGES: dict[str, Callable[[Path], Any]] = {
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("no primitive"),
    "cut in half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "another archive": lambda path: np.savez_compressed(path, picture=np.zeros(3)),
    "an array": saved(np.zeros(3)),
    "a pickle": saved(np.array([{"an": "object"}])),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file_is_made_again(damage: Callable[[Path], Any], tmp_path: Path) -> None:
    asked, cache = Asked(deep(SIDE)), PrimitiveCache(tmp_path)
    before = asked.made(cache)
    (path,) = files(tmp_path)
    damage(path)
    begun = passes(asked.classifier.network)
    assert_same(asked.made(cache), before)
    assert len(begun) > 0
    begun.clear()
    assert_same(asked.made(cache), before)
    assert begun == []
    assert files(tmp_path) == [path]


# Writing that fails


def test_a_run_that_is_ended_while_it_writes_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, cache = Asked(deep(SIDE)), PrimitiveCache(tmp_path)

    def stopped(*_: object) -> None:
        assert len(files(tmp_path)) == 1  # it was about to be put in its place
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", stopped)
        with pytest.raises(KeyboardInterrupt):
            asked.made(cache)
    assert files(tmp_path) == []
    assert_same(asked.made(cache), asked.made(None))
    assert len(files(tmp_path)) == 1


def test_a_run_that_is_ended_halfway_through_a_file_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, path, inversion = kept(tmp_path, np.full((1, 2, 2), 0.5, np.float32))
    before = path.read_bytes()

    def half(file: Path, **_: object) -> None:
        file.write_bytes(before[:40])
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(np, "savez_compressed", half)
        with pytest.raises(KeyboardInterrupt):
            cache.write("ab12", replace(inversion, residual=0.75))
    assert files(tmp_path) == [path]
    assert path.read_bytes() == before


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(EngineError) as refusal:
        Asked(deep(SIDE)).made(PrimitiveCache(tmp_path))
    assert str(refusal.value) == f"the cache {tmp_path} cannot be written to: No space left on device"
    assert files(tmp_path) == []


def test_a_file_in_the_folders_place_is_told_and_left_alone(tmp_path: Path) -> None:
    taken = tmp_path / "cache"
    taken.write_text("a file")
    with pytest.raises(EngineError) as refusal:
        Asked(deep(SIDE)).made(PrimitiveCache(taken))
    assert str(refusal.value) == f"the cache {taken} cannot be written to: Not a directory"
    assert taken.read_text() == "a file"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_leave_to_write_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(EngineError, match="cannot be written to: Permission denied"):
            Asked(deep(SIDE)).made(PrimitiveCache(tmp_path))
    finally:
        tmp_path.chmod(0o700)
