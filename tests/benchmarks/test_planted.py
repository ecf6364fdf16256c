"""The benchmark's faults against counts by hand, and the reading of other people's faults."""

import ast
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from numpy.random import Generator
from numpy.typing import NDArray

from tests.benchmarks import planted, second_opinion
from tests.benchmarks.planted import FAMILIES, Fault, Image, faults, load_faults, plant, suits

ALL = faults(channels=3)  # they hold those for one channel
DRAWN_PER_CHANNEL = ("gain_noise", "dead_pixels")


def part(height: int = 96, width: int = 96, channels: int | None = None) -> Image:
    """A smooth round part with a crack and a hole on a darker ground, without noise."""
    rows, columns = np.mgrid[:height, :width].astype(float)
    distance = np.hypot(rows - height / 2, columns - width / 2) / min(height, width)
    grey = 90 + 70 / (1 + np.exp((distance - 0.38) / 0.02)) + 15 * np.cos(columns / 9) * np.sin(rows / 7)
    grey -= 60 * np.exp(-(((rows - 0.6 * columns - 0.15 * height) / 1.5) ** 2))
    grey -= 50 * (np.hypot(rows - 0.6 * height, columns - 0.4 * width) < 0.06 * min(height, width))
    image = np.clip(grey, 0, 255).astype(np.uint8)
    return image if channels is None else np.repeat(image[:, :, None], channels, axis=2)


def shape_for(fault: Fault) -> Image:
    return part() if suits(fault, 1) else part(channels=3)


def planted_at(fault: Fault, strength: float, seed: int = 5) -> NDArray[np.float64]:
    image = shape_for(fault)
    return plant(fault, image, np.random.default_rng(seed), strength).astype(float) - image


@pytest.fixture
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """The strength as asked, without the variation between images."""
    monkeypatch.setattr(planted, "VARIATION", 0.0)


# --- what holds for every fault ---


def test_every_family_has_a_fault_and_no_fault_another_family() -> None:
    assert {fault.family for fault in faults(channels=3).values()} == set(FAMILIES)
    assert {fault.family for fault in faults(channels=1).values()} == set(FAMILIES) - {"colour"}
    assert list(faults(channels=3))[:2] == ["dim_lamp", "gamma_dark"]  # as defined


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("shape", [(48, 61, None), (61, 48, 1), (53, 48, 3)], ids=str)
def test_type_and_shape_stay_and_the_input_is_untouched(
    name: str, shape: tuple[int, int, int | None]
) -> None:
    fault, image = ALL[name], part(*shape)
    if not suits(fault, shape[2] or 1):
        with pytest.raises(ValueError, match=f"{name}: given uint8 of shape"):
            plant(fault, image, np.random.default_rng(0))
        return
    before = image.copy()
    for strength in (0.0, 1.0, 3.0):
        answer = fault(image, np.random.default_rng(0), strength)
        assert answer.dtype == np.uint8
        assert answer.shape == image.shape
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("name", ALL)
def test_a_seed_repeats_an_image_and_another_seed_does_not(name: str) -> None:
    first, again, *others = (planted_at(ALL[name], 1.0, seed) for seed in (5, 5, 6, 7, 8, 9))
    np.testing.assert_array_equal(first, again)
    assert any(np.any(first != other) for other in others)


@pytest.mark.parametrize("name", ALL)
def test_stronger_is_further_and_nothing_is_nothing(name: str) -> None:
    """Root mean squares, as the eye and a network see them; half as strong again is visibly more."""
    none, half, whole, more = (np.sqrt((planted_at(ALL[name], s) ** 2).mean()) for s in (0, 0.5, 1, 1.5))
    assert none < 0.7  # grey values
    assert none < half < whole
    assert whole > 3
    assert more > 1.1 * whole


@pytest.mark.usefixtures("exact")
@pytest.mark.parametrize("name", [name for name in ALL if name not in ("colour_cast", *DRAWN_PER_CHANNEL)])
def test_one_and_three_channels_get_the_same_fault(name: str) -> None:
    three = plant(ALL[name], part(channels=3), np.random.default_rng(2)).astype(int)
    one = plant(ALL[name], part(channels=1), np.random.default_rng(2)).astype(int)
    assert np.abs(three - one).max() <= 1  # JPEG goes through YCbCr


# --- the physics, by hand ---


@pytest.mark.usefixtures("exact")
@pytest.mark.parametrize(
    ("name", "grey", "strength", "expected"),
    [
        ("dim_lamp", 200, 1.0, 90),  # 200 * 0.45
        ("dim_lamp", 180, 2.0, 36),  # 180 * 0.45 * 0.45: a lamp ages by factors
        ("gamma_dark", 51, 1.0, 10),  # 0.2 * 0.2 * 255
        ("gamma_bright", 64, 1.0, 128),  # sqrt(64 / 255) * 255
        ("overexposure", 100, 1.0, 150),
        ("overexposure", 200, 1.0, 255),  # clipped, not wrapped to 44
        ("low_contrast", 227, 1.0, 172),  # 127.5 + 99.5 * 0.45
        ("stray_light", 77, 1.0, 77),  # an even image scatters into itself
    ],
)
def test_an_even_grey(name: str, grey: int, strength: float, expected: int) -> None:
    image = np.full((48, 48), grey, np.uint8)
    assert np.unique(plant(ALL[name], image, np.random.default_rng(0), strength)).tolist() == [expected]


@pytest.mark.usefixtures("exact")
def test_a_point_becomes_a_disc_or_a_line() -> None:
    image = np.zeros((101, 101), np.uint8)
    image[50, 50] = 255
    rows, columns = np.mgrid[-50:51, -50:51]

    disc = plant(ALL["defocus_disc"], image, np.random.default_rng(0), 4.0).astype(float)
    assert disc.sum() == pytest.approx(255, rel=0.15)  # but for rounding
    square = (disc * (rows**2 + columns**2)).sum() / disc.sum()
    assert square == pytest.approx((4 * 0.023 * 101) ** 2 / 2, rel=0.1)  # of a disc: radius squared / 2
    assert disc[50, 44] == disc[50, 50]  # flat, where a Gaussian falls

    line = plant(ALL["conveyor_smear"], image, np.random.default_rng(0), 1.0)
    assert set(np.nonzero(line)[0]) == {50}
    assert np.count_nonzero(line[50] == round(255 / 11.1)) == 11  # 1 + 0.1 * 101 pixels long


@pytest.mark.usefixtures("exact")
def test_noise_grows_with_the_light_as_shot_noise_does() -> None:
    for grey in (64, 128):
        image = np.full((300, 300), grey, np.uint8)
        noise = plant(ALL["gain_noise"], image, np.random.default_rng(0)).astype(float) - grey
        assert noise.std() == pytest.approx(255 * np.hypot(0.03, 0.07 * np.sqrt(grey / 255)), rel=0.02)


def test_light_falls_where_its_family_says() -> None:
    even = np.full((90, 120), 120, np.uint8)
    gain = {name: plant(fault, even, np.random.default_rng(1)) / 120 for name, fault in faults().items()}
    across = gain["side_lamp"].mean(axis=0)
    assert np.all(np.diff(across) >= 0)
    assert across[0] < 0.45 < 0.95 < across[-1]
    rim = gain["dirty_vignette"]
    assert max(rim[0, 0], rim[0, -1], rim[-1, 0], rim[-1, -1]) < 0.35 < 0.95 < rim[45, 60]
    for name in ("shadow_bar", "guard_shadow"):
        assert gain[name].min() == pytest.approx(0.26, abs=0.06)
        assert 0.2 < np.mean(gain[name] > 0.95) < 0.8
    assert gain["hot_spot"].min() >= 1
    assert 0.01 < np.mean(gain["hot_spot"] * 120 == 255) < 0.2
    assert np.ptp(gain["line_scan_stripes"], axis=0).max() == 0  # a column has one gain
    assert np.ptp(gain["mains_flicker"], axis=1).max() == 0  # a row has one


def test_a_night_keeps_its_columns_and_its_dust_but_not_its_glare() -> None:
    def likeness(name: str) -> float:
        first, other = (planted_at(ALL[name], 1.0, seed).ravel() for seed in (1, 2))
        return float(np.corrcoef(first, other)[0, 1])

    assert likeness("line_scan_stripes") > 0.95
    assert likeness("dust_on_lens") > 0.6
    assert likeness("brushed_grain") < 0.3


def test_grain_has_a_direction_and_orange_peel_none() -> None:
    def steepness(name: str) -> float:
        rows, columns = np.gradient(planted_at(ALL[name], 1.0))
        return float(rows.std() / columns.std())

    assert steepness("brushed_grain") > 4
    assert steepness("orange_peel") == pytest.approx(1, abs=0.2)


# --- planting, and faults from elsewhere ---


def test_an_answer_is_checked_and_a_lost_channel_axis_added() -> None:
    image = part(channels=1)

    def flat(image: Image, rng: Generator, strength: float = 1.0) -> Image:
        image[:] = 7
        return image[:, :, 0]

    def small(image: Image, rng: Generator, strength: float = 1.0) -> Image:
        return image[:10]

    def real(image: Image, rng: Generator, strength: float = 1.0) -> NDArray[np.float64]:
        return image.astype(np.float64)

    def forgetful(image: Image, rng: Generator, strength: float = 1.0) -> None: ...

    rng = np.random.default_rng(0)
    answer = plant(cast("Fault", flat), image, rng)
    assert answer.shape == (96, 96, 1)
    assert np.unique(answer).tolist() == [7]
    assert image.max() > 100  # the fault had a copy
    for fault, words in (
        (small, r"fault small returned uint8 of shape \(10, 96, 1\); expected uint8 of shape \(96, 96, 1\)"),
        (real, r"fault real returned float64 of shape"),
        (forgetful, r"fault forgetful returned NoneType; return a uint8 array"),
    ):
        with pytest.raises(ValueError, match=words):
            plant(cast("Fault", fault), image, rng)


def test_faults_of_a_file_are_found(tmp_path: Path) -> None:
    path = tmp_path / "ours.py"
    path.write_text(
        "import numpy as np\n"
        "def halved(image, rng, strength=1.0):\n    return (image * 0.5**strength).astype(np.uint8)\n"
        "def helper(image):\n    return image\n"
        "def flat(image, rng, strength=1.0):\n    return np.full_like(image, 9)\n"
        "halved.family, flat.family, flat.channels = 'darker', 'contrast', (3,)\n"
    )
    found = load_faults(path)
    assert {name: fault.family for name, fault in found.items()} == {"halved": "darker", "flat": "contrast"}
    assert [suits(fault, 1) for fault in found.values()] == [True, False]
    halved = plant(found["halved"], np.full((48, 48), 80, np.uint8), np.random.default_rng(0), 2.0)
    assert np.unique(halved).tolist() == [20]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.py", None, "a.py is not a Python file; expected a FILE.py"),
        ("a.txt", "x = 1", "a.txt is not a Python file; expected a FILE.py"),
        ("a.py", "import no_such_module", r"cannot be imported \(ModuleNotFoundError: .*mend it"),
        ("a.py", "def f(:", r"cannot be imported \(SyntaxError"),
        ("a.py", "raise SystemExit(3)", r"cannot be imported \(SystemExit: 3\)"),
        ("a.py", "def f(image, rng, strength=1.0): ...", "holds no fault; expected functions .* family"),
        ("a.py", "def f(): ...\nf.family = 'dark'", "fault f has the family 'dark'; .* one of: darker, bri"),
        ("a.py", "def f(): ...\nf.family = ['dust']", r"fault f has the family \['dust'\]"),
    ],
)
def test_a_file_without_sound_faults_says_what_to_do(
    tmp_path: Path, name: str, text: str | None, words: str
) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=words):
        load_faults(tmp_path / name)


def test_the_physics_is_its_own() -> None:
    """NumPy, OpenCV, SciPy and the standard library; nothing of inspection, nothing of albumentations."""
    allowed = {"cv2", "numpy", "scipy", "collections", "functools", "importlib", "inspect", "math", "pathlib"}
    nodes = list(ast.walk(ast.parse(Path(planted.__file__).read_text("utf-8"))))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    from_ = {node.module or "." for node in nodes if isinstance(node, ast.ImportFrom)}
    assert {name.split(".")[0] for name in plain | from_} <= allowed | {"sys", "types", "typing"}
    assert not any(isinstance(node, ast.ImportFrom) and node.level for node in nodes)


# --- the second opinion ---

OTHERS = load_faults(Path(second_opinion.__file__))


def test_the_second_opinion_has_a_fault_of_every_family() -> None:
    assert {fault.family for fault in OTHERS.values()} == set(FAMILIES)
    assert {name for name, fault in OTHERS.items() if not suits(fault, 1)} == {
        "tungsten",
        "fluorescent",
        "faded",
    }


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        (name, shape)
        for name, fault in OTHERS.items()
        for shape in ((48, 61, None), (61, 48, 1), (53, 48, 3))
        if suits(fault, shape[2] or 1)
    ],
    ids=str,
)
def test_faults_of_the_second_opinion_grow_with_their_strength(
    name: str, shape: tuple[int, int, int | None]
) -> None:
    fault, smooth = OTHERS[name], part(*shape)
    image = np.clip(smooth + np.random.default_rng(0).normal(0, 4, smooth.shape), 0, 255).astype(np.uint8)
    if fault.family == "colour":
        image[..., 0] //= 2
    away = [
        np.abs(plant(fault, image, np.random.default_rng(seed), strength).astype(float) - image).mean()
        for strength in (0.25, 1.0)
        for seed in range(8)
    ]
    assert np.mean(away[:8]) < np.mean(away[8:])
    assert np.mean(away[8:]) > 0.2
