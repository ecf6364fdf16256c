"""The rendered line's physics against counts by hand, and what it writes."""

import csv
import math
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from inspection.inputs.image_sets import read_image_set
from tests.benchmarks.rendered_line import (
    CHANGES,
    CONDITIONS,
    DEFECTS,
    FINE,
    TWO_STATIONS,
    Camera,
    Field,
    Finish,
    Lamp,
    Part,
    main,
    make_part,
    render,
    see,
)

SIZE = 32
ROUGH = 0.2
GRAZING, ABOVE = (CONDITIONS[name].lamp for name in ("dark_field", "bright_field"))


def flat(slope: float = 0.0) -> Part:
    """An even part that rises to the right by its slope: it scatters 0.3 and mirrors 0.6 of the light."""
    side = (SIZE + 2) * FINE
    rise = slope * np.arange(side) / FINE * np.ones((side, 1))
    ones, walls = np.ones((side, side, 3)), np.ones((2, side, side))
    return Part(
        rise, 0.3 * ones, 0.6 * ones, np.ones((side, side)), ROUGH, ROUGH, 0.0, 0.0 * rise, 0.0 * walls
    )


def grooved(slope: float, width: float) -> Part:
    """A groove from top to bottom through the middle, its steepest slope and its sigma (pixels) as given."""
    part = flat()
    across = (np.arange(len(part.relief)) - (len(part.relief) - 1) / 2) / FINE
    groove = slope * width * math.exp(0.5) * np.exp(-0.5 * (across / width) ** 2)
    return replace(part, relief=np.asarray(-groove * np.ones((len(across), 1))))


def drawn(label: str, number: int, finish: Finish | None = None) -> Part:
    return make_part(label, finish or Finish(), SIZE, (5, number))


def rng() -> np.random.Generator:
    return np.random.default_rng(7)


# --- light ---


@pytest.mark.parametrize(
    ("slope", "elevation"),
    [
        pytest.param(0.0, 90.0, id="level under a lamp overhead"),
        pytest.param(0.0, 30.0, id="level under a low lamp"),
        pytest.param(-math.tan(math.radians(30.0)), 30.0, id="mirrors the lamp into the camera"),
        pytest.param(0.2, 50.0, id="rises towards the lamp"),
    ],
)
def test_light_of_an_even_part_is_a_slow_rewrite(slope: float, elevation: float) -> None:
    """Walter et al., equation 33, over the 4 of Torrance and Sparrow, and Lambert's law."""
    up, level = math.sin(math.radians(elevation)), math.cos(math.radians(elevation))
    expected = 0.0
    for around in np.radians([-20.0, -10.0, 0.0, 10.0, 20.0]):
        lamp = np.array([level * math.cos(around), -level * math.sin(around), up])
        between = lamp + np.array([0, 0, 1])
        halfway = between / np.linalg.norm(between)
        facing = lamp @ [-slope, 0, 1] / math.sqrt(1 + slope**2)
        squared = (halfway[0] / halfway[2] + slope) ** 2 + (halfway[1] / halfway[2]) ** 2
        facets = ROUGH**2 / (math.pi * halfway[2] ** 4 * (ROUGH**2 + squared) ** 2)
        expected += (0.3 / math.pi * facing + 0.6 / 4 * facets) / 5
    light = render(flat(slope), Lamp("bar", elevation=elevation, azimuth=0.0, extent=0.0, hall=0.0))
    np.testing.assert_allclose(light, np.full((SIZE * FINE, SIZE * FINE, 3), expected), rtol=1e-5)


@pytest.mark.parametrize("kind", ["ring", "bar", "dome", "coaxial"])
def test_a_lamp_shares_out_its_light_and_nothing_more(kind: str) -> None:
    directions, shares = Lamp(kind, elevation=35.0, azimuth=90.0).directions()
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1.0, rtol=1e-6)
    assert shares.sum() == pytest.approx(1.0)
    centre = shares @ directions
    assert centre[0] == pytest.approx(0.0, abs=1e-6)
    assert (centre[1] < -0.5) == (kind == "bar")  # towards the top of the image


def test_an_unknown_lamp_is_told_which_there_are() -> None:
    with pytest.raises(ValueError, match="no lamp 'torch'; there are: ring, bar, dome, coaxial"):
        Lamp("torch").directions()


def test_a_groove_is_bright_under_grazing_light_and_dark_under_coaxial_light() -> None:
    part = grooved(slope=0.6, width=1.5)
    flank = (SIZE // 2 - 1) * FINE - 1  # a sigma to the left of the middle, where it is steepest
    grazing, above = (render(part, lamp)[SIZE, :, 0] for lamp in (GRAZING, ABOVE))
    assert grazing[flank] > 1.5 * grazing[4]
    assert above[flank] < above[4] / 3


def test_a_hairline_vanishes_in_bright_field_and_a_groove_does_not() -> None:
    """Contrast of the defect over the deviation of the ground around it."""
    middle = np.abs(np.arange((SIZE + 2) * FINE) - SIZE * FINE / 2 - FINE + 0.5) < FINE
    shares = 0.1 * middle * np.ones((len(middle), 1))
    walls = np.stack([np.full_like(shares, 0.6), np.zeros_like(shares)])
    sound = drawn("good", 1)
    groove = sound.relief + grooved(slope=0.6, width=1.5).relief
    seen = {}
    for name, part in (
        ("hairline", replace(sound, hairlines=shares, walls=walls)),
        ("groove", replace(sound, relief=groove)),
    ):
        for lamp in (GRAZING, ABOVE):
            ground = render(sound, lamp)
            change = (render(part, lamp) - ground)[:, SIZE * FINE // 2 - 2 : SIZE * FINE // 2 + 2].mean()
            seen[name, lamp.kind] = change / ground.std()
    assert seen["hairline", "ring"] > 1.5
    assert -1.5 < seen["hairline", "coaxial"] < 0
    assert seen["groove", "ring"] > 4
    assert seen["groove", "coaxial"] < -4


def test_a_turned_lamp_lights_the_other_flank() -> None:
    part = grooved(slope=0.4, width=2.0)
    right, left = (
        render(part, Lamp("bar", elevation=35.0, azimuth=azimuth))[SIZE, :, 0] for azimuth in (0.0, 180.0)
    )
    np.testing.assert_allclose(right, left[::-1], rtol=1e-4)
    # The left flank falls to the right, towards the lamp there.
    assert right.argmax() < SIZE < left.argmax()


# --- camera ---


@pytest.mark.parametrize("name", CONDITIONS)
def test_exposure_keeps_the_grey_of_the_background(name: str) -> None:
    held = CONDITIONS[name]
    medians = [
        np.median(see(drawn("good", n, held.finish), held, np.random.default_rng(n))) for n in range(12)
    ]
    assert np.mean(medians) == pytest.approx(held.camera.grey * 255, rel=0.05)


def test_noise_is_that_of_reading_and_of_counted_electrons() -> None:
    camera = Camera(blur=0.1, noise=0.02, full_well=2000.0, grey=0.5)
    image = camera.capture(np.ones((200, 200, 3), np.float32), rng())
    assert image.std(axis=(0, 1)) / 255 == pytest.approx(math.sqrt(0.02**2 + 0.5 / 2000), rel=0.03)


def test_a_soft_camera_loses_detail_and_a_sharpening_one_gains_it() -> None:
    light = render(drawn("good", 1), CONDITIONS["side_light"].lamp)
    detail = [
        np.diff(Camera(blur=blur, sharpening=sharpening).capture(light, rng()).astype(float), axis=0).std()
        for blur, sharpening in ((1.5, 0.0), (0.5, 0.0), (0.5, 1.0))
    ]
    assert detail[0] < 0.7 * detail[1]
    assert detail[1] < 0.9 * detail[2]


# --- parts ---


@pytest.mark.parametrize("label", DEFECTS)
def test_a_part_repeats_by_its_seed_and_no_two_are_alike(label: str) -> None:
    held = CONDITIONS["dark_field"]
    first, again, other = (see(drawn(label, number), held, rng()) for number in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first.astype(float) - other).mean() > 1


@pytest.mark.parametrize("label", DEFECTS[1:])
def test_a_defect_stays_where_it_is_under_another_finish(label: str) -> None:
    dug, again = (
        drawn(label, 3, finish).relief - drawn("good", 3, finish).relief
        for finish in (Finish(), CONDITIONS["finish_3"].finish)
    )
    np.testing.assert_allclose(dug, again, atol=1e-4)
    assert (np.abs(dug).max() > 0.05) == (label != "stain")  # pixels; a stain has no depth


def test_a_stain_takes_light_away_in_one_place() -> None:
    stained, sound = drawn("stain", 4), drawn("good", 4)
    kept = (stained.mirrored / sound.mirrored)[..., 2]
    assert kept.min() < 0.9
    assert 0.005 < np.mean(kept < 0.98) < 0.3


def test_an_unknown_class_is_told_which_there_are() -> None:
    with pytest.raises(ValueError, match="no class 'burr'; there are: good, scratch, pit, dent, stain"):
        drawn("burr", 1)


# --- changes ---


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_grows_with_its_strength(name: str) -> None:
    before = CHANGES[name][0]
    apart = np.zeros(3)
    for number in range(4):
        images = [
            see(drawn("dent", number, held.finish), held, rng()).astype(float)
            for held in (CONDITIONS[each] for each in (before, *(f"{name}_{n}" for n in (1, 2, 3))))
        ]
        apart += [np.abs(image - images[0]).mean() for image in images[1:]]
    assert apart[0] > 4  # grey values, of four parts
    assert apart[0] < apart[1] < apart[2]


# --- what is written ---


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, str]]:
    folder = tmp_path_factory.mktemp("line")
    names = ["side_light", "turned_3", "camera_3", "two_stations_3"]
    assert main(["--out", str(folder), "--parts", "50", "--size", "24", "--conditions", *names]) == 0
    with (folder / "manifest.csv").open(encoding="utf-8") as file:
        return [row | {"folder": str(folder)} for row in csv.DictReader(file)]


def test_every_part_is_seen_under_every_condition_in_one_split(rows: list[dict[str, str]]) -> None:
    seen, splits = defaultdict(set), defaultdict(set)
    for row in rows:
        seen[row["group_id"]].add(row["condition"])
        splits[row["group_id"]].add((row["split"], row["true_label"]))
    assert len(seen) == 50
    assert {len(each) for each in seen.values()} == {4}
    assert {len(each) for each in splits.values()} == {1}
    counts = [sum(("split", s) in row.items() for row in rows) // 4 for s in ("train", "val", "test")]
    assert counts == [30, 5, 15]


def test_the_product_reads_one_condition_of_it(rows: list[dict[str, str]]) -> None:
    table = Path(rows[0]["folder"]) / "manifest.csv"
    images = read_image_set(table, "condition = 'turned_3' and split = 'val'")
    assert {each.label for each in images} == set(DEFECTS)
    assert len(images) == 5


def test_of_two_stations_each_has_its_own_change(rows: list[dict[str, str]]) -> None:
    """Station A's lamp is turned and B's camera is soft: noise apart, the images say so."""

    def image(group: str, condition: str) -> Field:
        row = next(row for row in rows if (row["group_id"], row["condition"]) == (group, condition))
        read = np.asarray(cv2.imread(str(Path(row["folder"]) / row["image"])), np.float32)
        return np.asarray(cv2.GaussianBlur(read, (0, 0), 2.0))

    changes = TWO_STATIONS["two_stations_3"]
    stations = {row["group_id"]: row["station"] for row in rows}
    assert set(stations.values()) == {"A", "B"}
    for group, station in stations.items():
        both, own, other = (
            image(group, name) for name in ("two_stations_3", *(changes if station == "A" else changes[::-1]))
        )
        assert np.corrcoef(both.ravel(), own.ravel())[0, 1] > np.corrcoef(both.ravel(), other.ravel())[0, 1]
