"""`fmi invert` and `fmi style`: they draw what the engine makes, and explain what they refuse."""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from rich.console import Console

from fmi_engine.classifier import Classifier
from fmi_engine.energy import flatten_maps, isolate, reallocate_at_random, shuffle_maps
from fmi_engine.inversion import Job, invert, invert_codes, source_code
from fmi_engine.presets import PRESETS
from fmi_engine.probe import find_layer
from fmi_engine.style import Restyled, StyleDistance, restyle
from fmi_engine.trust import hinges_on, trust_test
from fmi_engine.types import FilterRef, Layer
from inspection.errors import InspectionError
from inspection.evidence.primitives import CONTROLS, stretched
from inspection.evidence.subject import Subject, open_subject
from inspection.inputs.images import read_image, write_image
from inspection.models.registry import keep, load_model, spec_of
from inspection.pictures import filters
from inspection.pictures.filter_sheet import print_drawn, sheet_of, write_sheet
from inspection.pictures.filters import Drawn
from inspection.pictures.model import registered
from inspection.pictures.sheet import plan
from inspection.pictures.sources import find_images
from inspection.pictures.styles import style_sentence
from inspection.pictures.wishes import Target, Wish, check_wish, read_targets
from tests.conftest import Answer
from tests.inspection.conftest import SIZE, Plant
from tests.inspection.tiny_network import tiny_network

Fmi = Callable[..., Answer]
TINY = "tests.inspection.tiny_network:tiny_network"


@contextmanager
def silent(_name: str, _total: int | None) -> Iterator[Callable[[int], None]]:
    yield lambda _count: None


@pytest.fixture(scope="module")
def site(plant: Plant, tmp_path_factory: pytest.TempPathFactory) -> Plant:
    return plant.copied(tmp_path_factory.mktemp("pictures") / "workspace")


@pytest.fixture(scope="module")
def known(site: Plant) -> Subject:
    return open_subject(site.workspace, site.model, site.references)


@pytest.fixture(scope="module")
def classifier(site: Plant) -> Classifier:
    return load_model(site.workspace.root, site.model, "cpu")


@pytest.fixture(scope="module")
def images(site: Plant) -> list[Path]:
    return sorted((site.images / "commissioned" / "pit").glob("*.png"))[:2]


@pytest.fixture(scope="module")
def decoded(images: list[Path]) -> NDArray[np.uint8]:
    return np.stack([read_image(path, (SIZE, SIZE), 1) for path in images])


@pytest.fixture
def home(site: Plant, tmp_path: Path) -> Plant:
    """A workspace that a test may write to."""
    return site.copied(tmp_path / "workspace")


def described(site: Plant) -> tuple[object, ...]:
    """The plant's model for those who have no workspace."""
    model = site.model
    return (
        *("--architecture", TINY, "--checkpoint", site.workspace.root / model.weights_path),
        *("--classes", ",".join(model.class_names), "--input-size", SIZE, "--channels", 1),
        *("--mean", model.mean[0], "--std", model.std[0], "--device", "cpu"),
    )


def sources(images: Sequence[Path]) -> tuple[object, ...]:
    return tuple(part for image in images for part in ("--image", image))


def told(answer: Answer) -> dict[str, Any]:
    assert (answer.returncode, answer.stderr) == (0, "")
    found: dict[str, Any] = json.loads(answer.stdout)
    return found


def residuals(answer: dict[str, Any]) -> list[list[float]]:
    return [[picture["residual"] for picture in each["pictures"]] for each in answer["filters"]]


# --- fmi invert: single filters ---


CHANNELS = (3, 5)


@pytest.fixture(scope="module")
def jobs() -> list[Job]:
    refs = [FilterRef("stage2", channel) for channel in CHANNELS]
    return [Job(ref, source, seed) for ref in refs for source in (0, 1) for seed in (0, 1)]


def test_the_result_is_the_engines_and_the_trust_test_is_applied(
    fmi: Fmi, home: Plant, images: list[Path], jobs: list[Job], known: Subject, decoded: NDArray[np.uint8]
) -> None:
    answer = told(
        fmi("invert", "stage2:3,5", *sources(images), "--out", home.workspace.root / "s.png", "--json",
            "-w", home.workspace.root)
    )  # fmt: skip
    controls = [
        Job(FilterRef("stage2", channel), 0, 0, layout) for channel in CHANNELS for layout in CONTROLS
    ]
    made = invert(known.classifier, [*jobs, *controls], decoded, reference=known.reference)
    layer = find_layer(known.layers, "stage2")
    hinge = hinges_on(known.classifier, layer, known.labelled.images, known.labelled.labels)
    trusts = trust_test(known.classifier, layer, known.reference, made, hinge=hinge)
    assert [each["filter"] for each in answer["filters"]] == ["stage2:3", "stage2:5"]
    told_of = [picture for each in answer["filters"] for picture in each["pictures"]]
    for job, inversion, trust, said in zip(jobs, made, trusts, told_of, strict=False):
        assert (said["source"], said["seed"]) == (str(images[job.source]), job.seed)
        assert said["residual"] == pytest.approx(inversion.residual, rel=1e-3)
        assert said["trust"]["rank"] == trust.rank
        assert said["trust"]["energy"] == pytest.approx(trust.energy, rel=1e-2, abs=1e-2)
        assert said["trust"]["agreement"] == pytest.approx(trust.agreement, abs=0.02)
        assert said["trust"]["layout"] == pytest.approx(trust.layout, abs=0.02)
        assert said["trust"]["trusted"] == (said["trust"]["failed"] == [])
    assert len(told_of) == len(trusts) == 8
    assert answer["model"] == home.model.model_hash
    assert (answer["not_tested"], answer["layout"], answer["draw"]) == ({}, "source", None)


def test_a_second_run_takes_the_pictures_from_the_cache(fmi: Fmi, home: Plant, images: list[Path]) -> None:
    root = home.workspace.root
    sheet, cache = root / "sheet.png", root / "cache" / "primitives"
    command = ("invert", "stage2:3,5", *sources(images), "--out", sheet, "--json", "-w", root)
    first, drawn = told(fmi(*command)), sheet.read_bytes()
    kept = {path: path.stat().st_mtime_ns for path in cache.rglob("*.npz")}
    assert len(kept) == 2 * (2 * 2 + 2)  # filters x (images x seeds + controls)
    second = told(fmi(*command))
    assert second == first
    assert sheet.read_bytes() == drawn
    assert {path: path.stat().st_mtime_ns for path in cache.rglob("*") if path.is_file()} == kept


def test_without_a_workspace_the_sources_say_what_is_normal_and_nothing_is_tested(
    fmi: Fmi, site: Plant, tmp_path: Path, images: list[Path], jobs: list[Job], classifier: Classifier,
    decoded: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    command = ("invert", "stage2:3,5", *sources(images), *described(site))
    answer = told(fmi(*command, "--json"))
    made = invert(classifier, jobs, decoded)
    expected = np.array([each.residual for each in made]).reshape(2, 4)
    np.testing.assert_allclose(residuals(answer), expected, rtol=1e-3)
    assert {p["trust"] for each in answer["filters"] for p in each["pictures"]} == {None}
    assert [*answer["not_tested"]] == ["stage2"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sheet.png"]  # and no cache
    cached = told(fmi(*command, "--json", "--cache", tmp_path / "cache"))
    assert residuals(cached) == residuals(answer)
    assert len([*(tmp_path / "cache").rglob("*.npz")]) == 8
    said = fmi(*command, "--cache", tmp_path / "cache")
    assert (said.returncode, said.stderr) == (0, "")
    line = "The trust test is not applied: no workspace's reference images say what is normal for a filter."
    assert line in said.stdout.splitlines()
    assert f"stage2:3 {images[0].name}" in said.stdout
    assert f"{residuals(answer)[0][0]:.3f}" in said.stdout


def test_a_layer_alone_stands_for_its_8_filters_with_the_highest_energy(
    fmi: Fmi, site: Plant, tmp_path: Path, classifier: Classifier
) -> None:
    folder = site.images / "commissioned"
    command = (
        "invert",
        "stage2",
        "--image",
        folder,
        *described(site),
        "--sources",
        1,
        "--seeds",
        1,
        "--json",
    )
    answer = told(fmi(*command, "--out", tmp_path / "s.png"))
    paths = sorted(folder.rglob("*.png"))
    pixels = np.stack([read_image(path, (SIZE, SIZE), 1) for path in paths])
    first, second = (classifier.network.get_submodule(name) for name in ("stage1", "stage2"))
    with torch.no_grad():
        codes = second(first(classifier.prepare(pixels)))
    order = codes.mean((0, 2, 3)).argsort(descending=True)[:8].tolist()
    assert [each["channels"] for each in answer["filters"]] == [[channel] for channel in order]
    assert answer["sources"] == [str(paths[len(paths) // 2])]  # the middle one of the folder
    for each in answer["filters"]:
        strongest = codes[:, each["channels"][0]].amax((1, 2)).sort(descending=True)
        assert [crop["activation"] for crop in each["crops"]] == pytest.approx(strongest.values[:4].tolist())
        assert each["crops"][0]["image"] == str(paths[int(strongest.indices[0])])


# --- fmi invert: other codes ---


@pytest.mark.parametrize(
    ("asked", "change"),
    [
        (["stage2", "--what", "plain"], lambda code, seeds: code),
        (
            ["stage2", "--what", "plain", "--layout", "constant"],
            lambda code, seeds: flatten_maps(code),
        ),
        (["stage2", "--what", "random"], reallocate_at_random),
        (
            ["stage2", "--what", "random", "--draw", "paper"],
            lambda code, seeds: reallocate_at_random(code, seeds, "paper"),
        ),
        (["stage2:3,5,9", "--together"], lambda code, seeds: isolate(code, [(3, 5, 9)] * 4)),
        (
            ["stage2:3,5,9", "--together", "--layout", "shuffled"],
            lambda code, seeds: shuffle_maps(isolate(code, [(3, 5, 9)] * 4), seeds),
        ),
    ],
    ids=["plain", "plain constant", "random", "random paper", "together", "together shuffled"],
)
def test_a_code_that_is_no_single_filters_is_inverted_as_the_engine_does(
    fmi: Fmi, site: Plant, tmp_path: Path, images: list[Path], classifier: Classifier,
    decoded: NDArray[np.uint8], asked: list[str], change: Callable[..., torch.Tensor],
) -> None:  # fmt: skip
    command = ("invert", *asked, *sources(images), "-w", site.workspace.root, "--device", "cpu", "--json")
    answer = told(fmi(*command, "--out", tmp_path / "s.png", "--pictures", tmp_path))
    seeds = [0, 1, 0, 1]
    code = change(source_code(classifier, "stage2", decoded[[0, 0, 1, 1]]), seeds)
    found, left = invert_codes(classifier, "stage2", code, seeds)
    np.testing.assert_allclose(residuals(answer), [left.tolist()], rtol=1e-3)
    (row,) = answer["filters"]
    assert row["channels"] == ([3, 5, 9] if "--together" in asked else [])
    assert answer["not_tested"] == {"stage2": "it judges pictures of single filters"}
    for i, said in enumerate(row["pictures"]):
        shown = read_image(Path(said["picture"]), None, 1).astype(int)
        assert np.abs(shown - stretched(found[i].numpy())).max() <= 2
    assert not (site.workspace.root / "cache").exists()


def test_the_crops_beside_several_filters_are_the_best_of_each_and_no_image_twice(
    fmi: Fmi, site: Plant, tmp_path: Path, classifier: Classifier
) -> None:
    folder = site.images / "commissioned"
    answer = told(
        fmi("invert", "stage3:1,2,4,8,9", "--together", "--image", folder, *described(site), "--json",
            "--sources", 1, "--seeds", 1, "--out", tmp_path / "s.png")
    )  # fmt: skip
    crops = [crop["image"] for crop in answer["filters"][0]["crops"]]
    assert len(crops) == len(set(crops)) == 4
    pixels = np.stack([read_image(path, (SIZE, SIZE), 1) for path in sorted(folder.rglob("*.png"))])
    codes = source_code(classifier, "stage3", pixels)
    assert crops[0] == str(sorted(folder.rglob("*.png"))[int(codes[:, 1].amax((1, 2)).argmax())])


# --- fmi invert: the sheet ---


DEAD = 7  # of stage 2


@pytest.fixture(scope="module")
def drawn(site: Plant, images: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Drawn:
    """Three filters of stage 2, one of them dead, and one of stage 3, asked of a workspace."""
    root = tmp_path_factory.mktemp("drawn")
    home = site.copied(root / "workspace")
    network = tiny_network(len(site.model.class_names), 1)
    network.load_state_dict(load_model(site.workspace.root, site.model, "cpu").network.state_dict())
    for part in ("weight", "bias"):  # its batch normalisation answers 0
        network.get_parameter(f"stage2.1.{part}").data[DEAD] = 0
    record = keep(home.workspace, network, spec_of(site.model))
    home.store.add_model(record, site.references)
    model = registered(home.workspace, record.model_hash, "", None)
    wish = Wish((f"stage2:3,5,{DEAD}", "stage3:1"), tuple(images), root / "s.png", pictures=root / "single")
    check_wish(wish)
    drawn = filters.invert_wish(model, wish, silent)
    write_sheet(drawn)
    return drawn


def cell(drawn: Drawn, row: int, column: int) -> NDArray[np.uint8]:
    """What the sheet's file shows at one place."""
    laid = plan(sheet_of(drawn))
    top, left = laid.tops[row], laid.lefts[column]
    shown = read_image(drawn.wish.out, None, 3)
    return shown[top : top + laid.cell[0], left : left + laid.cell[1]]


def three_times(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A grey picture (32, 32, 1) as the sheet shows it: RGB, 96 x 96."""
    return np.repeat(picture.repeat(3, 0).repeat(3, 1), 3, axis=2)


def test_the_sheet_shows_sources_and_primitives_pixel_by_pixel(
    drawn: Drawn, decoded: NDArray[np.uint8]
) -> None:
    """Columns: a crop of each of the two images, then twice a source and its two seeds."""
    headings = [(column.group, column.heading) for column in sheet_of(drawn).columns]
    names = [path.name for path in drawn.given.paths]
    assert headings == [
        *[("real crops that excite it most", "")] * 2,
        *((f"from {name}", heading) for name in names for heading in ("source", "seed 0", "seed 1")),
    ]
    for row in range(4):
        np.testing.assert_array_equal(cell(drawn, row, 2), three_times(decoded[0]))
        np.testing.assert_array_equal(cell(drawn, row, 5), three_times(decoded[1]))
    for row, target in enumerate(drawn.targets):
        for made, column in zip(drawn.row(target), (3, 4, 6, 7), strict=True):
            shown = cell(drawn, row, column)
            same = np.array_equal(shown, three_times(stretched(made.image)))
            assert same is not made.withheld
            assert bool((np.ptp(shown.astype(int), axis=2) > 100).any()) is made.withheld  # the red cross


def test_the_crops_are_cut_around_the_strongest_answer(drawn: Drawn) -> None:
    for row, target in enumerate(drawn.targets):
        for column, patch in enumerate(drawn.patches[target]):
            assert patch.pixels.shape[:2] in ((24, 24), (32, 32))  # 4 times into 96, and 3 times
            factor = 96 // len(patch.pixels)
            expected = np.repeat(patch.pixels.repeat(factor, 0).repeat(factor, 1), 3, axis=2)
            np.testing.assert_array_equal(cell(drawn, row, column), expected)


def test_a_dead_filter_is_withheld_and_a_filter_alone_in_its_layer_is_not_tested(drawn: Drawn) -> None:
    dead = drawn.row(drawn.targets[2])
    assert str(drawn.targets[2]) == f"stage2:{DEAD}"
    assert all(made.withheld for made in dead)
    row = sheet_of(drawn).rows[2]
    assert row.label == f"stage2:{DEAD}"
    assert ("a dead filter", "bad") in [(line.text, line.tone) for line in row.details]
    shown = [each for each in row.cells if each is not None and each.withheld]
    assert len(shown) == 4
    assert all((each.lines[0].text, each.lines[0].tone) == ("not trusted", "bad") for each in shown)
    assert {made.trust for made in drawn.row(drawn.targets[3])} == {None}
    assert [*drawn.untested] == ["stage3"]
    notes = " ".join(sheet_of(drawn).notes)
    assert "The trust test is not applied to stage3: it compares filters" in notes
    assert "Pictures that failed the trust test are withheld; what failed is red." in notes


def test_every_number_under_a_picture_is_that_of_the_trust_test(drawn: Drawn) -> None:
    for row, target in zip(sheet_of(drawn).rows[:3], drawn.targets[:3], strict=True):
        cells = [row.cells[column] for column in (3, 4, 6, 7)]
        for each, made in zip(cells, drawn.row(target), strict=True):
            assert each is not None
            assert made.trust is not None
            lines = {line.text: line.tone for line in each.lines}
            ranks, sigma = f"rank {made.trust.rank} of 16", f"{made.trust.energy:+.1f} sigma"
            assert lines[ranks] == ("quiet" if made.trust.rank == 1 else "bad")
            assert lines[sigma] == ("quiet" if made.trust.energy > 0 else "bad")
            assert f"residual {made.residual:.2f}" in lines
        agreement = drawn.row(target)[0].trust.agreement  # type: ignore[union-attr]
        found = {line.text: line.tone for line in row.details}
        assert found[f"agreement {agreement:.2f}"] == ("quiet" if agreement >= 0.8 else "bad")


def test_the_title_names_model_layers_and_preset(drawn: Drawn) -> None:
    sheet = sheet_of(drawn)
    assert sheet.title == "Texture primitives: stage2, stage3"
    assert drawn.model.name in sheet.subtitle
    assert "preset default" in sheet.subtitle
    alone = replace(drawn, targets=drawn.targets[:3])
    assert "stage2: 16 filters of 16 x 16 positions" in sheet_of(alone).subtitle


def test_single_pictures_are_saved_unless_they_are_withheld(drawn: Drawn) -> None:
    assert drawn.wish.pictures is not None
    saved = {path.name for path in drawn.wish.pictures.iterdir()}
    expected = {
        f"{str(made.target).replace(':', '-')}-source{made.source}-seed{made.seed}.png": made
        for made in drawn.made
        if not made.withheld
    }
    assert saved == set(expected)
    assert not any(name.startswith(f"stage2-{DEAD}-") for name in saved)
    for name, made in expected.items():
        shown = read_image(drawn.wish.pictures / name, None, 1)
        np.testing.assert_array_equal(shown, stretched(made.image))
        assert made.picture == drawn.wish.pictures / name


def test_show_withheld_shows_and_saves_them_and_still_says_so(drawn: Drawn, tmp_path: Path) -> None:
    wish = replace(drawn.wish, out=tmp_path / "s.png", pictures=tmp_path / "single", show_withheld=True)
    shown = filters.invert_wish(drawn.model, wish, silent)
    dead = shown.row(shown.targets[2])
    assert all(made.withheld and made.picture is not None and made.picture.is_file() for made in dead)
    np.testing.assert_array_equal(cell(shown, 2, 3), three_times(stretched(dead[0].image)))
    notes = sheet_of(shown).notes
    assert "Pictures that failed the trust test are shown all the same; what failed is red." in notes
    assert len([*(tmp_path / "single").iterdir()]) == 16


def test_a_person_is_told_what_failed(drawn: Drawn, capsys: pytest.CaptureFixture[str]) -> None:
    print_drawn(Console(width=100), drawn)
    said = capsys.readouterr().out
    (line, *_) = [line for line in said.splitlines() if f"stage2:{DEAD} " in line]
    assert "no: " in line
    assert "dead" in said
    trusted = sum(made.trust is not None and made.trust.trusted for made in drawn.made)
    assert f"{trusted} of 12 pictures are trusted; needed: first or in the top 1%" in said
    assert re.search(r"stage3:1 .* untested", said)


# --- fmi invert: what is asked ---


LAYERS = (Layer("stage1", 8, 32, 32, True), Layer("net.stage2", 64, 16, 16, True))


def asked(*filters: str, **options: Any) -> Wish:
    return Wish(filters, (), Path("s.png"), **options)


def busiest(layer: Layer) -> list[int]:
    return [6, 2]


@pytest.mark.parametrize(
    ("wish", "rows"),
    [
        (asked("stage1:3"), ["stage1:3"]),
        (asked("stage1:3, 0,3", "net.stage2:40"), ["stage1:3", "stage1:0", "net.stage2:40"]),
        (asked("stage1", "stage1:2"), ["stage1:6", "stage1:2"]),
        (asked("stage1:3,0", "stage1", together=True), ["stage1:3,0", "stage1:6,2"]),
        (asked("stage1", "net.stage2", what="plain"), ["stage1", "net.stage2"]),
        (asked("stage1", what="random"), ["stage1"]),
    ],
)
def test_filters_as_written(wish: Wish, rows: list[str]) -> None:
    assert [str(target) for target in read_targets(wish, LAYERS, busiest)] == rows


def test_every_layer_knows_its_filters() -> None:
    (target,) = read_targets(asked("net.stage2:63"), LAYERS, busiest)
    assert target == Target(LAYERS[1], (63,))


def test_too_many_filters_are_refused_and_forty_are_not() -> None:
    forty = "net.stage2:" + ",".join(map(str, range(40)))
    assert len(read_targets(asked(forty), LAYERS, busiest)) == 40
    with pytest.raises(InspectionError, match="41 filters asked for; at most 40 fit on a sheet"):
        read_targets(asked(forty, "stage1:0"), LAYERS, busiest)
    assert len(read_targets(asked(forty + ",40,41", together=True), LAYERS, busiest)) == 1


def test_sources_are_every_file_named_and_some_of_a_folder(tmp_path: Path) -> None:
    grey = np.zeros((4, 4, 1), np.uint8)
    for name in ("a/1.png", "a/2.png", "b/3.png", "b/.4.png", "5.png"):
        write_image(tmp_path / name, grey)
    (tmp_path / "notes.txt").write_text("no image")
    paths, found = find_images([tmp_path / "b/3.png", tmp_path], 2)
    assert {path.name for path in paths} == {"1.png", "2.png", "3.png", "5.png"}
    # In order the folder is 5, 1, 2, 3: the middles of its two halves are 1 and 3; 3 is named already.
    assert [paths[i].name for i in found] == ["3.png", "1.png"]
    assert find_images([tmp_path / "a/1.png"], 2) == ([tmp_path / "a/1.png"], [0])


# --- fmi invert: what is refused ---


def refused(answer: Answer, *words: str) -> None:
    assert answer.returncode == 2, answer.stderr
    assert answer.stderr.startswith("fmi: ")
    assert "Traceback" not in answer.stdout + answer.stderr
    assert [word for word in words if word not in answer.stderr] == []


@pytest.mark.parametrize(
    ("filters", "words"),
    [
        (["stage9:3"], ("no layer 'stage9'", "stage1, stage2, stage3")),
        (["stage2:16"], ("layer 'stage2' has no channel 16", "0 to 15")),
        (["stage2:x"], ("'stage2:x' is no filter", "stage2:3,17,40")),
        (["stage2:"], ("'stage2:' is no filter",)),
        (["stage2:3,-1"], ("'stage2:3,-1' is no filter",)),
        (
            ["stage2:3", "--what", "plain"],
            ("--what plain takes the code of a layer as a whole", "give stage2"),
        ),
        (["stage2", "--what", "everything"], ("--what is 'everything'", "isolate, plain, random")),
        (["stage2", "--layout", "round"], ("--layout is 'round'", "source, shuffled, constant")),
        (["stage2", "--what", "random", "--draw", "lots"], ("--draw is 'lots'", "dirichlet, paper")),
        (["stage2", "--draw", "paper"], ("--draw paper", "goes with --what random")),
        (["stage2", "--what", "random", "--together"], ("--together", "goes with --what isolate")),
        (["stage2", "--preset", "best"], ("no preset 'best'", "default, paper, mahendran")),
        (["stage2", "--device", "cuda:9"], ("device 'cuda:9' cannot be used",)),
        (["stage2", "--out", "s.jpg"], ("--out s.jpg", "ends in .png")),
        (["stage2", "--model", "ffff"], ("no model 'ffff'",)),
    ],
)
def test_what_is_misspelt_is_told_with_what_exists(
    fmi: Fmi, site: Plant, tmp_path: Path, images: list[Path], monkeypatch: pytest.MonkeyPatch,
    filters: list[str], words: tuple[str, ...],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    refused(fmi("invert", *filters, *sources(images), "-w", site.workspace.root), *words)
    assert list(tmp_path.glob("*.png")) == []


def test_images_that_cannot_be_used(fmi: Fmi, site: Plant, tmp_path: Path, images: list[Path]) -> None:
    damaged, empty, many = tmp_path / "cut.png", tmp_path / "empty", tmp_path / "many"
    damaged.write_bytes(images[0].read_bytes()[:-40])
    empty.mkdir()
    for i in range(9):
        write_image(many / f"{i}.png", np.zeros((4, 4, 1), np.uint8))
    for given, words in {
        damaged: (str(damaged), "cut short"),
        empty: (f"{empty}: no images in this folder or below it", ".png"),
        tmp_path / "none.png": (f"{tmp_path / 'none.png'}: there is no such image file or folder",),
    }.items():
        command = ("invert", "stage2:3", "--image", given, "--out", tmp_path / "s.png")
        refused(fmi(*command, "-w", site.workspace.root), *words)
    every = ("invert", "stage2:3", *sources(sorted(many.iterdir())), "-w", site.workspace.root)
    refused(fmi(*every), "9 images to make pictures from; at most 8 fit on a sheet")
    assert not (tmp_path / "s.png").exists()


def test_a_sheet_that_cannot_be_written_is_told_before_the_work(
    fmi: Fmi, site: Plant, tmp_path: Path, images: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filters, "invert_wish", None)
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.png").mkdir()
    command = ("invert", "stage2:3", *sources(images), "-w", site.workspace.root)
    refused(fmi(*command, "--out", tmp_path / "file" / "s.png"), f"{tmp_path / 'file'} cannot be written to")
    refused(fmi(*command, "--out", tmp_path / "folder.png"), "this is a folder")
    fine = (*command, "--out", tmp_path / "s.png")
    refused(fmi(*fine, "--pictures", tmp_path / "file"), f"--pictures: {tmp_path / 'file'} cannot be written")
    refused(fmi(*fine, "--cache", tmp_path / "file"), f"--cache: {tmp_path / 'file'} cannot be written")


def test_a_model_is_either_registered_or_described(
    fmi: Fmi, site: Plant, tmp_path: Path, images: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    command = ("invert", "stage2:3", *sources(images))
    refused(fmi(*command, "--architecture", TINY), "--checkpoint and --classes missing")
    refused(fmi(*command, "--input-size", 32), "--architecture and --checkpoint and --classes missing")
    refused(fmi(*command, *described(site), "-w", site.workspace.root), "give the one or the other")
    refused(fmi(*command, *described(site), "--model", "ab"), "give the one or the other")
    refused(fmi(*command), f"neither {tmp_path} nor a folder above it", "fmi init")
    refused(fmi(*command, *described(site), "--classes", "a,b"), "does not fit the architecture")
    refused(fmi(*command, *described(site), "--checkpoint", tmp_path / "w.pt"), "no checkpoint at")
    refused(fmi(*command, *described(site), "--input-size", "big"), "--input-size is 'big'")
    refused(fmi(*command, *described(site), "--channels", 2), "2 channels given")


# --- fmi style ---


@pytest.fixture(scope="module")
def pair(site: Plant) -> tuple[Path, Path]:
    good, scratch = (sorted((site.images / "commissioned" / name).iterdir()) for name in ("good", "scratch"))
    return good[0], scratch[0]


def test_style_is_the_engines_and_its_sheet_shows_both_images(
    fmi: Fmi, site: Plant, pair: tuple[Path, Path], tmp_path: Path, classifier: Classifier
) -> None:
    out = tmp_path / "style.png"
    answer = told(fmi("style", *pair, "--out", out, "--json", "--seeds", 2, "-w", site.workspace.root))
    both = content, style = [read_image(path, (SIZE, SIZE), 1) for path in pair]
    for method, said in zip(("rank", "sums", "gram"), answer["methods"], strict=True):
        made = restyle(classifier, content, style, method, None, (0, 1), PRESETS["default"])
        assert (said["method"], said["content_layer"], said["seeds"]) == (method, made.layer, [0, 1])
        np.testing.assert_allclose(said["loss"], made.loss, rtol=2e-2)
        np.testing.assert_allclose(said["content_distance"], made.content, rtol=2e-2)
        for each, layer in zip(said["style_layers"], made.styles, strict=True):
            assert each["layer"] == layer.layer
            assert each["sums_before"] == pytest.approx(layer.sums_before, rel=1e-5)
            assert each["gram_before"] == pytest.approx(layer.gram_before, rel=1e-5)
            np.testing.assert_allclose(each["sums_after"], layer.sums_after, rtol=5e-2, atol=5e-3)
            np.testing.assert_allclose(each["gram_after"], layer.gram_after, rtol=5e-2, atol=5e-3)
    shown = read_image(out, None, 3)
    left = shown.shape[1] - 28 - 3 * 96 - 2 * 12 - 30 - 2 * 96 - 12  # the sheet is as wide as its columns
    for i, image in enumerate(both):
        at = left + i * 108
        np.testing.assert_array_equal(shown[128:224, at : at + 96], three_times(image))
    assert answer["model"] == site.model.model_hash


def test_style_tells_a_person_the_distances_and_what_they_show(
    fmi: Fmi, site: Plant, pair: tuple[Path, Path], tmp_path: Path
) -> None:
    command = ("style", *pair, "--out", tmp_path / "s.png", *described(site))
    answer = told(fmi(*command, "--method", "sums", "--layer", "stage1", "--json"))
    said = fmi(*command, "--method", "sums", "--layer", "stage1")
    assert (said.returncode, said.stderr) == (0, "")
    assert answer["sentence"] in said.stdout.splitlines()
    assert [each["method"] for each in answer["methods"]] == ["sums"]
    for each in answer["methods"][0]["style_layers"]:
        numbers = (each["sums_before"], each["sums_after"][0], each["gram_before"], each["gram_after"][0])
        assert re.search(f"{each['layer']} +" + " +".join(f"{number:.3f}" for number in numbers), said.stdout)
    assert f"Sheet: {tmp_path / 's.png'}" in said.stdout.splitlines()


def result(method: str, *layers: tuple[float, float, float, float]) -> Restyled:
    """A result with (sums before, after, Gram before, after) at each style layer."""
    styles = tuple(
        StyleDistance(f"l{i}", sb, np.array([sa], np.float32), gb, np.array([ga], np.float32))
        for i, (sb, sa, gb, ga) in enumerate(layers)
    )
    one = np.zeros(1, np.float32)
    return Restyled(method, "l1", (0,), np.zeros((1, 1, 2, 2), np.float32), one, one, styles)


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        (
            # The Gram matrices: 2 and 4 before, 1 and 1 after: on average 3 and 1; directly 0.5.
            [result("sums", (1, 0, 2, 1), (1, 0, 4, 1)), result("gram", (1, 0, 2, 0.5), (1, 0, 4, 0.5))],
            "With nothing but the sums of the filters' maps matched, the Gram matrices came nearer to the "
            "style's, their distance from 3.00 to 1.00 (nearer at 2 of 2 style layers), 80% of the way that "
            "matching them directly goes (to 0.50): here the sums carry most of what a Gram matrix carries.",
        ),
        (
            # 2 and 4 before, 1.8 and 3.6 after: on average 3 and 2.7; directly 2.4, more than three quarters.
            [result("sums", (1, 0, 2, 1.8), (1, 0, 4, 3.6)), result("gram", (1, 1, 2, 1.6), (1, 1, 4, 3.2))],
            "With nothing but the sums of the filters' maps matched, the Gram matrices came nearer to the "
            "style's, their distance from 3.00 to 2.70 (nearer at 2 of 2 style layers); matched directly "
            "they hardly came nearer either (to 2.40), so that this says little: a lower --content-weight "
            "leaves the style more room.",
        ),
        (
            [result("sums", (1, 0, 2, 1.5), (1, 0, 4, 4)), result("gram", (1, 0, 2, 1), (1, 0, 4, 1))],
            "With nothing but the sums of the filters' maps matched, the Gram matrices came nearer to the "
            "style's, their distance from 3.00 to 2.75 (nearer at 1 of 2 style layers), 12% of the way that "
            "matching them directly goes (to 1.00): here the sums carry the smaller part of what a Gram "
            "matrix carries.",
        ),
        (
            [result("sums", (1, 0, 2, 3))],
            "With nothing but the sums of the filters' maps matched, the Gram matrices did not come nearer "
            "to the style's, their distance from 2.00 to 3.00 (nearer at 0 of 1 style layers).",
        ),
        (
            [result("gram", (2, 0.5, 2, 1))],
            "With nothing but the Gram matrices matched, the sums of the filters' maps came nearer to the "
            "style's, their distance from 2.00 to 0.50 (nearer at 1 of 1 style layers).",
        ),
        (
            [result("rank", (2, 0.5, 2, 3))],
            "With the energies of the maps matched by rank at l1, the sums of the filters' maps came nearer "
            "to the style's, their distance from 2.00 to 0.50, and the Gram matrices did not come nearer to "
            "the style's, their distance from 2.00 to 3.00.",
        ),
    ],
    ids=["most", "little", "less", "not", "gram", "rank"],
)
def test_the_sentence_says_what_the_numbers_show(results: list[Restyled], expected: str) -> None:
    assert style_sentence(results) == expected


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--method", "magic"], ("--method is 'magic'", "rank, sums, gram, all")),
        (["--layer", "stage9"], ("no layer 'stage9'", "stage1, stage2, stage3")),
        (["--preset", "best"], ("no preset 'best'",)),
        (["--out", "style.jpg"], ("ends in .png",)),
    ],
)
def test_style_refuses_what_does_not_exist(
    fmi: Fmi, site: Plant, pair: tuple[Path, Path], options: list[str], words: tuple[str, ...]
) -> None:
    refused(fmi("style", *pair, *options, "-w", site.workspace.root), *words)


def test_style_refuses_images_that_cannot_be_read(
    fmi: Fmi, site: Plant, pair: tuple[Path, Path], tmp_path: Path
) -> None:
    rest = ("--out", tmp_path / "s.png", "-w", site.workspace.root)
    refused(fmi("style", tmp_path / "none.png", pair[1], *rest), "there is no such image file")
    refused(fmi("style", pair[0], tmp_path, *rest), f"{tmp_path}: this is a folder")
    (tmp_path / "cut.png").write_bytes(pair[0].read_bytes()[:-40])
    refused(fmi("style", pair[0], tmp_path / "cut.png", *rest), "cut short")
    assert not (tmp_path / "s.png").exists()
