import math
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from inspection.errors import ImageSetError, InspectionError
from inspection.inputs.image_sets import read_image_set
from inspection.inputs.sample_line import (
    DEFECTS,
    FINISHES,
    Camera,
    Field,
    Lamp,
    SampleLine,
    lambert,
    normals,
    write_images,
)


def plane(right: float, down: float, size: int = 16) -> Field:
    y, x = np.mgrid[:size, :size]
    return np.asarray(right * x + down * y, dtype=np.float32)


def rng(*seed: int) -> np.random.Generator:
    return np.random.default_rng(list(seed))


def detail(image: NDArray[np.uint8]) -> float:
    """Mean squared difference of neighbours: the energy at high frequencies."""
    return float(np.mean(np.diff(image.astype(np.float64), axis=0) ** 2))


@pytest.mark.parametrize(
    ("right", "down", "azimuth", "cosine"),
    [
        # A slope of 1/2 has the normal (-1, 0, 2) / sqrt 5; a lamp 45 degrees up is (+-1, 0, 1) / sqrt 2.
        pytest.param(0.5, 0.0, 180.0, 3 / math.sqrt(10), id="rises away from a lamp on the left"),
        pytest.param(0.5, 0.0, 0.0, 1 / math.sqrt(10), id="rises towards a lamp on the right"),
        pytest.param(0.0, 0.5, 90.0, 3 / math.sqrt(10), id="falls towards a lamp at the top"),
        pytest.param(0.0, 0.5, 0.0, 2 / math.sqrt(10), id="tilted across the lamp"),
        pytest.param(0.0, 0.0, 77.0, 1 / math.sqrt(2), id="level"),
        pytest.param(2.0, 0.0, 0.0, 0.0, id="turned away"),
    ],
)
def test_tilted_plane_is_lit_by_the_cosine(right: float, down: float, azimuth: float, cosine: float) -> None:
    shade = lambert(normals(plane(right, down)), Lamp(azimuth=azimuth, elevation=45.0))
    np.testing.assert_allclose(shade, np.full((16, 16), cosine), atol=1e-6)


def slow_light(height: Field, albedo: Field, row: int, column: int) -> float:
    """The light of one inner pixel of a brushed 16 px part under the commissioned lamp, from the formulas."""
    right = float(height[row, column + 1] - height[row, column - 1]) / 2
    down = float(height[row + 1, column] - height[row - 1, column]) / 2
    normal = np.array([-right, -down, 1.0]) / math.sqrt(right**2 + down**2 + 1)
    level, up = math.cos(math.radians(50)), math.sin(math.radians(50))
    lamp = np.array([-level / math.sqrt(2), -level / math.sqrt(2), up])  # from the upper left
    between = lamp + np.array([0.0, 0.0, 1.0])
    halfway = between / np.linalg.norm(between)
    place = 6 * 16 * lamp - np.array([column - 7.5, row - 7.5, 0.0])
    near = (6 * 16) ** 2 / float(place @ place)
    ambient = 0.25 * (1 + normal[2]) / 2
    scattered = float(albedo[row, column]) * (ambient + 0.75 * max(0.0, normal @ lamp))
    return near * float(scattered + 0.75 * 0.35 * max(0.0, normal @ halfway) ** 24)


def test_signal_equals_a_slow_rewrite() -> None:
    height = rng(1).normal(0.0, 1.0, (16, 16)).astype(np.float32)
    albedo = rng(2).uniform(0.2, 0.8, (16, 16)).astype(np.float32)
    signal = SampleLine(size=16).signal(height, albedo)
    slow = [[slow_light(height, albedo, row, column) for column in range(1, 15)] for row in range(1, 15)]
    np.testing.assert_allclose(signal[1:-1, 1:-1], slow, rtol=2e-5)


def test_the_side_towards_the_lamp_is_brighter() -> None:
    flat = SampleLine(size=33).signal(np.zeros((33, 33), np.float32), np.full((33, 33), 0.5, np.float32))
    assert 1.1 < flat[0, 0] / flat[32, 32] < 1.5
    assert flat[0, 32] == pytest.approx(flat[32, 0], rel=1e-5)


def test_half_the_lamp_is_half_the_signal() -> None:
    line = SampleLine()
    height, albedo = line.height_map("scratch", rng(3)), line.albedo("scratch", rng(3))
    full, half = line.signal(height, albedo), line.aged(0.5).signal(height, albedo)
    np.testing.assert_array_equal(half, full / 2)
    assert full.min() > 0.0


def test_turning_the_lamp_swaps_the_bright_flank() -> None:
    x = np.arange(33, dtype=np.float32) - 16
    groove = np.tile(-np.exp(-((x / 3) ** 2)), (33, 1)).astype(np.float32)
    left_lamp = SampleLine(lamp=Lamp(azimuth=180.0), size=33)
    albedo = np.full((33, 33), 0.5, np.float32)
    from_left, from_right = (line.signal(groove, albedo) for line in (left_lamp, left_lamp.turned(180.0)))
    # The right flank of a groove looks to the left.
    assert from_left[16, 18] > 1.2 * from_left[16, 14]
    np.testing.assert_allclose(from_right[:, ::-1], from_left, rtol=1e-4)


def test_lines_change_only_what_was_asked() -> None:
    line = SampleLine(camera=Camera(exposure=1.1), size=40)
    assert line.aged(0.45) == SampleLine(lamp=Lamp(strength=0.45), camera=Camera(exposure=1.1), size=40)
    assert line.turned(270.0).lamp == Lamp(azimuth=45.0)
    assert line.with_finish("cast") == SampleLine("cast", camera=Camera(exposure=1.1), size=40)


@pytest.mark.parametrize("finish", FINISHES)
@pytest.mark.parametrize(
    ("defect", "relief", "darkened"),
    [
        ("good", False, False),
        ("scratch", True, False),
        ("pit", True, False),
        ("dent", True, False),
        ("stain", False, True),
    ],
)
def test_a_stain_changes_no_height_and_a_dent_no_albedo(
    finish: str, defect: str, relief: bool, darkened: bool
) -> None:
    line = SampleLine(finish)
    same_height = np.array_equal(line.height_map("good", rng(4)), line.height_map(defect, rng(4)))
    same_albedo = np.array_equal(line.albedo("good", rng(4)), line.albedo(defect, rng(4)))
    assert same_height is not relief
    assert same_albedo is not darkened


@pytest.mark.parametrize("seed", range(5))
def test_reliefs_have_the_shape_of_their_names(seed: int) -> None:
    line = SampleLine()
    good = line.height_map("good", rng(seed))
    relief = {name: line.height_map(name, rng(seed)) - good for name in ("scratch", "pit", "dent")}
    sunk = {name: int((field < 0.5 * field.min()).sum()) for name, field in relief.items()}
    assert relief["scratch"].min() < -0.5
    assert relief["scratch"].max() > 0.1  # burrs
    assert max(relief["pit"].max(), relief["dent"].max()) < 1e-4
    assert relief["pit"].min() < -1.3
    assert sunk["dent"] > 3 * sunk["pit"]


@pytest.mark.parametrize("seed", range(5))
def test_a_stain_takes_its_share_of_albedo(seed: int) -> None:
    left = SampleLine().albedo("stain", rng(seed)) / SampleLine().albedo("good", rng(seed))
    assert left.max() <= 1.0
    assert 0.69 < left.min() < 0.87
    assert 0.01 < np.mean(left < 0.93) < 0.25


def test_finishes_have_their_grain() -> None:
    brushed, cast, woven = (SampleLine(name).height_map("good", rng(6)) for name in FINISHES)
    down, right = np.gradient(brushed)
    assert down.std() > 5 * right.std()
    down, right = np.gradient(cast)
    assert 0.7 < down.std() / right.std() < 1.4
    spectrum = np.abs(np.fft.rfft(woven - woven.mean(), axis=1)).mean(axis=0)
    # 96 pixels hold 12 threads of 8 pixels, and 6 pairs of an upper and a lower one.
    assert min(abs(int(spectrum.argmax()) - count) for count in (6, 12)) <= 1
    assert spectrum.max() > 4 * np.median(spectrum)


@pytest.mark.parametrize("finish", FINISHES)
def test_the_commissioned_line_is_well_exposed(finish: str) -> None:
    line = SampleLine(finish)
    grey = np.stack([line.render(name, rng(7, i)) for i in range(4) for name in DEFECTS])
    assert 110 < grey.mean() < 150
    assert np.mean((grey == 0) | (grey == 255)) < 1e-4


def test_parts_differ_and_a_seed_repeats_them() -> None:
    line = SampleLine()
    first = line.render("dent", rng(8, 1))
    assert first.shape == (96, 96)
    assert first.dtype == np.uint8
    np.testing.assert_array_equal(line.render("dent", rng(8, 1)), first)
    assert np.mean(line.render("dent", rng(8, 2)) != first) > 0.5


def test_an_aged_lamp_shows_the_same_part() -> None:
    line = SampleLine(camera=Camera(noise=0.0))
    new, old = (made.render("pit", rng(9)).astype(np.float64) for made in (line, line.aged(0.45)))
    # Shot noise is one hundredth of full scale at most, 2.6 grey values.
    assert np.sqrt(np.mean((old - 0.45 * new) ** 2)) < 2.6
    assert new.std() > 10.0


@pytest.mark.parametrize(("level", "exposure"), [(0.5, 1.0), (0.05, 1.0), (0.2, 2.0)])
def test_noise_is_read_noise_and_counted_electrons(level: float, exposure: float) -> None:
    camera = Camera(noise=0.02, exposure=exposure)
    grey = camera.capture(np.full((256, 256), level, np.float32), rng(10))
    light = level * exposure
    rounding = 1 / 12  # variance of a grey value's rounding
    expected = math.sqrt(255**2 * (0.02**2 + light / 8000) + rounding)
    assert grey.mean() == pytest.approx(255 * light, abs=0.1)
    assert grey.std() == pytest.approx(expected, rel=0.02)


def test_too_much_light_saturates() -> None:
    grey = Camera(exposure=3.0).capture(np.full((8, 8), 0.5, np.float32), rng(11))
    np.testing.assert_array_equal(grey, np.full((8, 8), 255))


def test_defocus_is_a_gaussian() -> None:
    point = np.zeros((33, 33), np.float32)
    point[16, 16] = 20.0
    grey = Camera(defocus=3.0, noise=0.0).capture(point, rng(12))
    # The peak of a Gaussian is 1 / (2 pi sigma squared): 20 * 255 / (2 pi 9) = 90; shot noise is 1.7.
    assert int(grey[16, 16]) == pytest.approx(90, abs=7)
    # One sigma away it is exp(-1/2) of that: 55.
    assert int(grey[16, 19]) == pytest.approx(55, abs=6)


def test_defocus_removes_detail() -> None:
    details = [
        detail(SampleLine(camera=Camera(defocus=sigma, noise=0.0)).render("good", rng(13)))
        for sigma in (0.0, 1.0, 2.0)
    ]
    assert details[0] > 1.5 * details[1]
    assert details[1] > 1.5 * details[2]


def test_unknown_names_say_what_exists() -> None:
    with pytest.raises(InspectionError, match="no finish 'forged'; this line has: brushed, cast, woven"):
        SampleLine("forged")
    with pytest.raises(InspectionError, match="no finish 'forged'"):
        SampleLine().with_finish("forged")
    with pytest.raises(
        InspectionError, match="no defect 'crack'; this line has: good, scratch, pit, dent, stain"
    ):
        SampleLine().render("crack", rng(14))


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: SampleLine().aged(-0.1), "a lamp's strength is -0.1; expected a number from 0"),
        (lambda: Lamp(elevation=95.0), "a lamp's elevation is 95.0; expected a number from 0 to 90"),
        (lambda: Lamp(ambient=1.5), "a lamp's ambient share is 1.5"),
        (lambda: Camera(defocus=-1.0), "a camera's defocus is -1.0"),
        (lambda: Camera(noise=math.nan), "a camera's noise is nan"),
        (lambda: Camera(exposure=-1.0), "a camera's exposure is -1.0"),
        (lambda: SampleLine(size=8), "an image's size is 8; expected a number from 16 to 4096"),
        (lambda: write_images(SampleLine(), Path("never"), 0, 1), "images per class is 0"),
        (lambda: write_images(SampleLine(), Path("never"), 1, -1), "the seed is -1"),
    ],
)
def test_impossible_numbers_are_refused(made: Callable[[], object], message: str) -> None:
    with pytest.raises(InspectionError, match=message):
        made()


def files(folder: Path) -> dict[str, bytes]:
    found = sorted(path for path in folder.rglob("[!.]*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def test_images_lie_in_a_folder_per_class(tmp_path: Path) -> None:
    told: list[int] = []
    paths = write_images(SampleLine(size=32), tmp_path / "set", 2, 5, told.append)
    names = [f"{name}/{name}-{index:04d}.png" for name in DEFECTS for index in (1, 2)]
    assert [path.relative_to(tmp_path / "set").as_posix() for path in paths] == names
    assert told == list(range(1, 11))
    assert sorted(files(tmp_path / "set")) == sorted(names)
    read = cv2.imread(str(tmp_path / "set" / "pit" / "pit-0002.png"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(read, SampleLine(size=32).render("pit", rng(5, DEFECTS.index("pit"), 2)))


def test_a_seed_repeats_the_bytes(tmp_path: Path) -> None:
    line = SampleLine(size=32)
    for folder, seed in (("a", 5), ("b", 5), ("c", 6)):
        write_images(line, tmp_path / folder, 2, seed)
    a, b, c = (files(tmp_path / folder) for folder in "abc")
    assert a == b
    assert len(set(a.values()) | set(c.values())) == 20


def test_a_stopped_run_can_be_repeated(tmp_path: Path) -> None:
    def stop(count: int) -> None:
        if count == 3:
            raise KeyboardInterrupt

    line = SampleLine(size=32)
    with pytest.raises(KeyboardInterrupt):
        write_images(line, tmp_path / "set", 2, 5, stop)
    assert len(files(tmp_path / "set")) == 3
    # What a run leaves that is killed in the middle of a file.
    (tmp_path / "set" / "scratch" / ".scratch-0002.png.0f1e.tmp").write_bytes(b"half")
    write_images(line, tmp_path / "set", 2, 5)
    write_images(line, tmp_path / "whole", 2, 5)
    assert files(tmp_path / "set") == files(tmp_path / "whole")
    assert len(read_image_set(tmp_path / "set")) == len(files(tmp_path / "whole"))


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "set").write_text("a file, not a folder")
    with pytest.raises(ImageSetError, match=r"cannot write .*good-0001\.png: .*; give a folder"):
        write_images(SampleLine(size=32), tmp_path / "set", 1, 5)
