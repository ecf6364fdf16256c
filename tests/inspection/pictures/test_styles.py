"""`fmi style`: it draws what the engine makes, says what the distances show, and explains what it refuses."""

import re
from pathlib import Path

import numpy as np
import pytest

from fmi_engine.classifier import Classifier
from fmi_engine.inversion import Descent
from fmi_engine.style import Restyled, StyleDistance, Styling, restyle
from inspection.inputs.images import read_image
from inspection.pictures.styles import style_sentence
from tests.inspection.conftest import SIZE, Plant
from tests.inspection.pictures.command import (
    Fmi,
    described,
    refused,
    three_times,
    told,
)


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
        made = restyle(classifier, Styling(content, style, method), Descent((0, 1)))
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
