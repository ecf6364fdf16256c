"""What `fmi invert` is asked for: filters as written, and what is misspelt."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fmi_engine.classifier import Classifier
from fmi_engine.types import Layer
from inspection.errors import InspectionError
from inspection.inputs.images import read_image
from inspection.pictures.request import FilterRequest, Target, read_targets
from tests.inspection.conftest import SIZE, Plant
from tests.inspection.pictures.command import Fmi, described, refused, sources, told

LAYERS = (Layer("stage1", 8, 32, 32, True), Layer("net.stage2", 64, 16, 16, True))


def asked(*filters: str, **options: Any) -> FilterRequest:
    return FilterRequest(filters, (), Path("s.png"), **options)


def busiest(layer: Layer) -> list[int]:
    return [6, 2]


@pytest.mark.parametrize(
    ("wanted", "rows"),
    [
        (asked("stage1:3"), ["stage1:3"]),
        (asked("stage1:3, 0,3", "net.stage2:40"), ["stage1:3", "stage1:0", "net.stage2:40"]),
        (asked("stage1", "stage1:2"), ["stage1:6", "stage1:2"]),
        (asked("stage1:3,0", "stage1", together=True), ["stage1:3,0", "stage1:6,2"]),
        (asked("stage1", "net.stage2", what="plain"), ["stage1", "net.stage2"]),
        (asked("stage1", what="random"), ["stage1"]),
    ],
)
def test_filters_as_written(wanted: FilterRequest, rows: list[str]) -> None:
    assert [str(target) for target in read_targets(wanted, LAYERS, busiest)] == rows


def test_every_layer_knows_its_filters() -> None:
    (target,) = read_targets(asked("net.stage2:63"), LAYERS, busiest)
    assert target == Target(LAYERS[1], (63,))


def test_too_many_filters_are_refused_and_forty_are_not() -> None:
    forty = "net.stage2:" + ",".join(map(str, range(40)))
    assert len(read_targets(asked(forty), LAYERS, busiest)) == 40
    with pytest.raises(InspectionError, match="41 filters asked for; at most 40 fit on a sheet"):
        read_targets(asked(forty, "stage1:0"), LAYERS, busiest)
    assert len(read_targets(asked(forty + ",40,41", together=True), LAYERS, busiest)) == 1


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
