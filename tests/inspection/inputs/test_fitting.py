"""How an image fills the input: each way against the library that plants have it from."""

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fmi_engine.vision import torchvision
from inspection.errors import ImageError, InspectionError
from inspection.inputs.fitting import Fitting
from inspection.inputs.images import read_image, reading, write_image
from inspection.workspace.settings import ImageSettings

SHAPES = [(50, 80), (80, 50), (33, 47), (64, 64), (300, 211)]


def picture(height: int, width: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(height).integers(0, 256, (height, width, channels), np.uint8)


@pytest.mark.parametrize("shape", SHAPES)
def test_crop_is_what_torchvision_crops(shape: tuple[int, int]) -> None:
    torchvision()
    from torchvision.transforms import v2

    image = picture(*shape)
    expected = v2.Compose([v2.Resize(36), v2.CenterCrop((32, 28))])(Image.fromarray(image))
    assert np.array_equal(Fitting.parse("crop 36, pillow")(image, (32, 28)), np.asarray(expected))


@pytest.mark.parametrize(("word", "how"), [("pillow", 2), ("pillow-cubic", 3)])
def test_pillow_smooths_where_it_shrinks(word: str, how: int) -> None:
    image = picture(90, 60, 1)
    expected = Image.fromarray(image[:, :, 0]).resize((20, 30), Image.Resampling(how))
    assert np.array_equal(Fitting.parse(word)(image, (30, 20))[:, :, 0], np.asarray(expected))


def test_crop_without_a_number_takes_as_much_as_there_is() -> None:
    image = np.zeros((40, 100, 1), np.uint8)
    image[:, 30:70] = 200
    assert (Fitting.parse("crop")(image, (20, 20)) == 200).all()
    assert Fitting.parse("crop")(picture(7, 5), (64, 32)).shape == (64, 32, 3)


def test_a_letterbox_holds_the_whole_image_in_the_middle() -> None:
    image = np.full((50, 100, 3), 200, np.uint8)
    made = Fitting.parse("letterbox")(image, (33, 32))
    inside = (made == 200).all((1, 2))
    assert inside.tolist() == [False] * 8 + [True] * 16 + [False] * 9  # the odd row lies below
    assert (made[~inside] == 114).all()
    assert (Fitting.parse("letterbox 0")(image, (33, 32))[~inside] == 0).all()


def test_nothing_said_is_stretched_as_ever() -> None:
    image = picture(50, 80)
    assert Fitting.parse("") == Fitting()
    assert np.array_equal(Fitting.parse("")(image, (20, 30)), Fitting.parse("stretch, area")(image, (20, 30)))
    assert np.array_equal(Fitting()(image, (90, 99)), Fitting.parse("linear")(image, (90, 99)))


@pytest.mark.parametrize("text", ["stretch", "crop 256, pillow, BGR", "letterbox 0, linear", "plant.own:fit"])
def test_a_fitting_is_told_as_it_was_given(text: str) -> None:
    assert str(Fitting.parse(text)) == text
    assert Fitting.parse(str(Fitting.parse(text))) == Fitting.parse(text)


def test_a_plants_own_function_prepares(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_fit.py").write_text(
        "import numpy as np\n"
        "def top_left(image, size): return image[:size[0], :size[1]]\n"
        "def floats(image, size): return np.zeros((*size, 3))\n"
        "def fails(image, size): raise RuntimeError('no lens')\n"
    )
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    image = picture(50, 80)
    write_image(tmp_path / "a.png", image)
    how = reading(ImageSettings(), 16, "own_fit:top_left")
    assert np.array_equal(read_image(tmp_path / "a.png", (20, 30), 3, how), image[:20, :30])
    with pytest.raises(
        ImageError, match=r"own_fit:floats made float64 .* expected uint8 of shape \(20, 30, 3\)"
    ):
        Fitting.parse("own_fit:floats")(image, (20, 30))
    with pytest.raises(ImageError, match=r"own_fit:fails failed .* RuntimeError: no lens"):
        Fitting.parse("own_fit:fails")(image, (20, 30))
    with pytest.raises(InspectionError, match="own_fit:none cannot be imported"):
        Fitting.parse("own_fit:none")(image, (20, 30))


@pytest.mark.parametrize(
    "text", ["squash", "crop wide", "letterbox 300", "crop 256 pillow", "crop ²", "crop 0", "crop 999999999"]
)
def test_words_that_say_nothing_are_refused(text: str) -> None:
    with pytest.raises(InspectionError) as raised:
        Fitting.parse(text)
    assert text in str(raised.value)


def test_a_crop_smaller_than_the_input_is_refused() -> None:
    with pytest.raises(ImageError, match="'crop' takes at least the input's size"):
        Fitting.parse("crop 24")(picture(50, 80), (32, 32))


def test_a_picture_without_a_size_stays_as_it_is(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", picture(50, 80))
    how = reading(ImageSettings(), 16, "letterbox, BGR")
    assert np.array_equal(
        read_image(tmp_path / "a.png", None, 3, how), read_image(tmp_path / "a.png", None, 3)
    )


@pytest.mark.parametrize("text", ["crop, letterbox", "area, linear", "letterbox 0, plant:fit"])
def test_two_words_of_a_kind_are_refused(text: str) -> None:
    with pytest.raises(InspectionError, match="comes after another of its kind"):
        Fitting.parse(text)
