"""`fmi invert` makes what the engine makes: single filters, other codes, crops, and files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from fmi_engine.classifier import Classifier
from fmi_engine.energy import flatten_maps, isolate, reallocate_at_random, shuffle_maps
from fmi_engine.inversion import Descent, Job, Run, invert, invert_codes, source_code
from fmi_engine.presets import PRESETS
from fmi_engine.probe import find_layer
from fmi_engine.trust import check_ablation
from fmi_engine.types import FilterRef
from fmi_engine.wording import reasons
from inspection.evidence.primitives import CONTROLS, made_of, stretched, trust_test
from inspection.evidence.subject import Subject
from inspection.inputs.images import read_image
from inspection.pictures.filters import CPU_BATCH, Drawn
from tests.inspection.conftest import SIZE, Plant
from tests.inspection.pictures.command import Fmi, described, sources, told
from tests.inspection.pictures.conftest import DEAD

CHANNELS = (3, 5)


def residuals(answer: dict[str, Any]) -> list[list[float]]:
    return [[picture["residual"] for picture in each["pictures"]] for each in answer["filters"]]


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
    layer = find_layer(known.layers, "stage2")
    real = made_of(known, layer, PRESETS["default"])
    run = Run(CPU_BATCH)
    made = invert(
        known.classifier, [*jobs, *controls], decoded, reference=known.reference, examples=real, run=run
    )
    labelled = (known.labelled.images, known.labelled.labels)
    ablation = check_ablation(known.classifier, layer, labelled)
    trusts = trust_test(known, layer, made, ablation)
    assert [each["filter"] for each in answer["filters"]] == ["stage2:3", "stage2:5"]
    told_of = [picture for each in answer["filters"] for picture in each["pictures"]]
    for job, inversion, trust, said in zip(jobs, made, trusts, told_of, strict=False):
        assert (said["source"], said["seed"]) == (str(images[job.source]), job.seed)
        assert said["residual"] == pytest.approx(inversion.residual, rel=1e-3)
        assert said["trust"]["rank"] == trust.rank
        assert said["trust"]["energy"] == pytest.approx(trust.energy, rel=1e-2, abs=1e-2)
        assert said["trust"]["agreement"] == pytest.approx(trust.agreement, abs=0.02)
        assert said["trust"]["layout"] == pytest.approx(trust.layout, abs=0.02)
        assert said["trust"]["failed"] == [*reasons(trust)]
        assert said["trust"]["trusted"] == (said["trust"]["failed"] == [])
    assert {trust.readable is None or trust.copy is None for trust in trusts} == {False}
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
    made = invert(classifier, jobs, decoded, run=Run(CPU_BATCH))
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
    found, left = invert_codes(classifier, "stage2", code, Descent(seeds))
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


def test_single_pictures_are_saved_unless_they_are_withheld(drawn: Drawn) -> None:
    assert drawn.request.pictures is not None
    saved = {path.name for path in drawn.request.pictures.iterdir()}
    expected = {
        f"{str(made.target).replace(':', '-')}-source{made.source}-seed{made.seed}.png": made
        for made in drawn.made
        if not made.withheld
    }
    assert saved == set(expected)
    assert not any(name.startswith(f"stage2-{DEAD}-") for name in saved)
    for name, made in expected.items():
        shown = read_image(drawn.request.pictures / name, None, 1)
        np.testing.assert_array_equal(shown, stretched(made.image))
        assert made.picture == drawn.request.pictures / name
