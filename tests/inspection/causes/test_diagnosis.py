"""The diagnosis: the aged lamp is named, and what no operation explains is not."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from inspection.causes.diagnosis import _with_measured, diagnose
from inspection.causes.measured_change import BOTH, EITHER
from inspection.causes.measured_match import MeasuredMatch, match_measured
from inspection.evidence.blame import screen
from inspection.evidence.case import Case
from inspection.evidence.responses import Responses
from inspection.evidence.shift import Shares
from inspection.evidence.subject import Subject
from inspection.findings import Cause, DoubtKind, OperationMatch
from inspection.inputs.sample_line import Camera, SampleLine
from inspection.modes.mode_recipe import write_mode_recipe
from inspection.nights.phrases import percent, worded
from inspection.operations.catalogue import Steps, find_operation
from inspection.recipes.overlays import FIXED_PATTERN, RESIDUAL_TEXTURE, TEXTURE_PRIMITIVE, TONE_CURVE
from inspection.recipes.recipe import RecipeTransform, load_recipe
from inspection.workspace.settings import MatchingSettings
from tests.inspection.conftest import SIZE


def test_an_aged_lamp_is_named_as_darker_with_its_strength(
    lamp: Case,
) -> None:
    found = worded(diagnose(lamp))
    assert found.claimed, found.reasons
    assert found.family == "darker"
    dimmer = next(each for each in found.matches if each.operation == "dimmer lamp")
    assert dimmer.strength == pytest.approx(-np.log2(0.4), rel=0.2)  # the lamp's true age, in stops
    assert found.sentence.endswith(".")
    assert percent(found.share) in found.sentence


def test_exchanged_labels_on_images_without_a_fault_are_a_matter_of_labels(
    here: Subject, responses: Responses
) -> None:
    data = here.correct
    wrong = (data.labels + 1) % len(here.model.class_names)
    case = Case(here, responses, screen(here, data.images, wrong), data.images)
    found = worded(diagnose(case))
    assert (found.claimed, found.cause, found.operation, found.measured) == (False, Cause.LABELS, None, None)
    assert "check the operators" in found.sentence
    assert "errors" in found.reasons[0]
    assert write_mode_recipe(case, "n-1-1", found, (), ()) is None
    assert not here.workspace.night_folder("n-1").exists()


# --- two causes, and one that the catalogue does not hold ---


def rendered(here: Subject, responses: Responses, line: SampleLine, seed: int = 5) -> Case:
    """The errors that the model makes on a line, 24 parts of every class."""
    true = np.repeat(np.arange(len(here.model.class_names)), 24)
    images = np.stack(
        [
            line.render(here.model.class_names[label], np.random.default_rng([seed, i]))[..., None]
            for i, label in enumerate(true)
        ]
    )
    return wrong_of(here, responses, images, true)


def wrong_of(here: Subject, responses: Responses, images: NDArray[np.uint8], true: NDArray[np.int64]) -> Case:
    wrong = here.classifier.predict(images).argmax(1) != true
    assert wrong.sum() >= 30
    return Case(here, responses, screen(here, images[wrong], true[wrong]), images[wrong])


LINE = SampleLine(finish="brushed", size=SIZE)


@pytest.mark.parametrize(
    ("camera", "second"),
    [(Camera(defocus=0.8), "defocus"), (Camera(defocus=1.2), "defocus"), (Camera(noise=0.06), "noise")],
    ids=["slight defocus", "defocus", "noise"],
)
def test_a_dimmer_lamp_with_a_second_fault_is_found_with_it_or_explains_it(
    here: Subject, responses: Responses, camera: Camera, second: str
) -> None:
    """Beside noise a pair is found; a slight blur may leave the lamp nearly all of the evidence."""
    case = rendered(here, responses, replace(LINE.aged(0.6), camera=camera))
    found = worded(diagnose(case))
    assert found.claimed, found.reasons
    assert found.family == "darker"
    best = found.matches[0]
    alone = (best.share + best.overall_share + best.look_share) / 3
    if not found.pair:
        assert second == "defocus"
        assert alone > 1 - 2 * here.settings.matching.pair_gain
        return
    assert {each.family for each in found.pair} == {"darker", second}
    steps = [(each.operation, each.strength) for each in found.pair]
    both = case.nearest.under(Steps(tuple(steps))).shares
    shares = (both.blamed, both.overall, both.look)
    for each in found.pair:
        assert (each.share, each.overall_share, each.look_share) == pytest.approx(shares, abs=1e-3)
    assert np.mean(shares) > alone + here.settings.matching.pair_gain
    assert found.share == found.pair[0].share
    assert found.sentence.startswith("Two changes at once: ")
    recipe = write_mode_recipe(case, "n-2-1", found, (), ())
    assert recipe is not None
    groups = load_recipe(here.workspace.root / recipe.path).ingredients
    assert [[each.operation for each in group] for group in groups] == [[name] for name, _ in steps]


@pytest.mark.parametrize("camera", [Camera(defocus=1.8, noise=0.03), Camera(defocus=1.0, noise=0.02)])
def test_a_worse_camera_is_a_defocus_before_noise(
    here: Subject, responses: Responses, camera: Camera
) -> None:
    """Their shifts do not add up, and the defocus, whose traces the noise covers, explains nothing alone."""
    case = rendered(here, responses, replace(LINE, camera=camera))
    found = diagnose(case)
    assert found.claimed, worded(found).reasons
    assert [each.family for each in found.pair] == ["defocus", "noise"]
    assert found.pair[0].strength == pytest.approx(camera.defocus, rel=0.2)
    alone = {each.operation: each.mean_share for each in found.matches}
    assert alone["defocus"] < 0.2
    assert (found.family, found.operation) in {(each.family, each.operation) for each in found.pair}


@pytest.fixture
def crossed(here: Subject, responses: Responses) -> Case:
    """Two crossing waves of six pixels on every image, their phases at random."""
    rng = np.random.default_rng(0)
    data = here.labelled
    down, across = np.mgrid[:SIZE, :SIZE] * (2 * np.pi / 6)
    waves = [
        20 * (np.sin(across + rng.uniform(0, 6.3)) + np.sin(down + rng.uniform(0, 6.3)))[..., None]
        for _ in range(len(data))
    ]
    images = np.clip(np.rint(data.images + waves), 0, 255).astype(np.uint8)
    return wrong_of(here, responses, images, data.labels)


def without_textures(case: Case) -> Case:
    """Beside a catalogue of light and sharpness alone."""
    return of_families(case, ("darker", "brighter", "contrast", "side light", "hot spot", "defocus"))


def of_families(case: Case, families: tuple[str, ...]) -> Case:
    held = case.responses
    kept = {name: each for name, each in held.coarse.items() if find_operation(name).family in families}
    return replace(case, responses=replace(held, coarse=kept))


def test_a_texture_that_the_catalogue_does_not_hold_is_measured_and_goes_into_the_recipe(
    here: Subject, crossed: Case
) -> None:
    case = without_textures(crossed)
    found = worded(diagnose(case))
    assert found.claimed, found.reasons
    assert (found.cause, found.family) == (Cause.APPEARANCE, "texture")
    assert found.measured == found.operation
    assert found.measured in (RESIDUAL_TEXTURE, BOTH, EITHER)
    assert found.share > 0.7
    assert found.sentence.startswith("Texture, measured on the errors themselves: the ")
    recipe = write_mode_recipe(case, "n-3-1", found, (), ())
    assert recipe is not None
    path = here.workspace.root / recipe.path
    loaded = load_recipe(path)
    textures = [each for group in loaded.ingredients for one in group for each in one.textures]
    assert textures
    assert all((path.parent / each.path).is_file() for each in textures)
    # On a clean image the recipe lays waves of six pixels: the strongest frequencies of what it changes.
    change, clean = RecipeTransform(loaded, path.parent), here.correct.images[0]
    laid = [change(clean, epoch=0, index=i).astype(float) - clean for i in range(60)]
    spectrum = np.mean([np.abs(np.fft.fft2(each[..., 0] - each.mean())) for each in laid], axis=0)
    down, across = np.unravel_index(spectrum.argmax(), spectrum.shape)
    assert {min(int(each), SIZE - int(each)) for each in (down, across)} == {0, 5}  # 32 / 6 is 5.3


def test_what_explains_no_other_errors_is_not_claimed(here: Subject, crossed: Case) -> None:
    settings = here.settings.model_copy(update={"matching": MatchingSettings(measured_share=1.0)})
    strict = replace(here, workspace=replace(here.workspace, settings=settings))
    case = replace(without_textures(crossed), subject=strict)
    found = worded(diagnose(case))
    assert (found.claimed, found.cause, found.measured) == (False, Cause.NEW_LOOK, None)
    assert "measured on one half of the errors explains" in found.reasons[-1]
    assert write_mode_recipe(case, "n-4-1", found, (), ()) is None


def test_of_defects_that_cannot_be_seen_nothing_is_measured(
    here: Subject, responses: Responses, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Good parts logged as scratched: what would be found on them is that the scratches are gone."""
    names, correct = here.model.class_names, here.correct
    images = correct.images[correct.labels == names.index("good")]
    true = np.full(len(images), names.index("scratch"))
    monkeypatch.setattr("inspection.causes.diagnosis.match_measured", pytest.fail)
    found = diagnose(Case(here, responses, screen(here, images, true), images))
    assert (found.claimed, found.cause, found.measured) == (False, Cause.INVISIBLE, None)


def test_a_measured_change_stands_beside_an_operation_that_it_explains_as_well_as(
    here: Subject, responses: Responses
) -> None:
    """Specks at one place: dust, and where it lies. A lamp leaves nothing to measure."""
    data, specks = here.labelled, np.zeros((SIZE, SIZE, 1), np.float32)
    rng = np.random.default_rng(3)
    for row, column in rng.integers(2, SIZE - 4, (9, 2)):
        specks[row : row + 2, column : column + 2] = -1.2
    dusty = np.rint(data.images * np.exp(specks)).astype(np.uint8)
    found = worded(diagnose(wrong_of(here, responses, dusty, data.labels)))
    assert found.claimed, found.reasons
    assert found.family == "dust"
    assert found.measured == FIXED_PATTERN or found.measured_alone
    if not found.measured_alone:
        best = found.matches[0]
        assert found.operation == best.operation
        assert found.sentence.endswith("goes into the recipe beside it.")
        assert (best.share + best.overall_share + best.look_share) / 3 <= 1 - 0.05
    assert diagnose(rendered(here, responses, LINE.aged(0.5))).measured is None


def test_a_measured_change_that_takes_half_of_what_an_operation_leaves_is_the_cause(
    crossed: Case,
) -> None:
    """Stripes one way come near to waves that cross, near enough to be claimed if nothing were better."""
    here = crossed.subject
    settings = here.settings.model_copy(update={"matching": MatchingSettings(pair_gain=0.02)})
    subject = replace(here, workspace=replace(here.workspace, settings=settings))
    found = worded(diagnose(replace(crossed, subject=subject)))
    nearest = found.matches[0]
    assert nearest.operation in ("vertical stripes", "horizontal stripes")
    assert min(nearest.share, nearest.overall_share) > 0.75
    assert nearest.look_share > 0.5
    assert (found.claimed, found.family, found.measured_alone) == (True, "texture", True)
    assert f"The best operation of the catalogue, {nearest.operation}, explains" in found.sentence
    assert found.share > nearest.share


def dripped_on(here: Subject, responses: Responses) -> Case:
    """Errors under three round drops an image, each elsewhere; of operations there are shadows alone."""
    data, depth = here.labelled, np.zeros((len(here.labelled), SIZE, SIZE, 1))
    rng, (rows, columns) = np.random.default_rng(3), np.mgrid[:SIZE, :SIZE]
    for drops in depth:
        for row, column in rng.uniform(2, SIZE - 2, (3, 2)):
            drops[np.hypot(rows - row, columns - column) < 4] = -1
    wet = np.rint(data.images * np.exp(depth)).astype(np.uint8)
    return of_families(wrong_of(here, responses, wet, data.labels), ("shadow",))


def test_drops_are_no_shadow_though_a_band_of_it_explains_their_shift(
    here: Subject, responses: Responses
) -> None:
    """A shadow lies in other places, and so does a tone curve."""
    found = diagnose(dripped_on(here, responses))
    assert (found.matches[0].family, found.matches[0].share > 0.9) == ("shadow", True)
    assert (found.claimed, found.cause) == (False, Cause.NEW_LOOK)
    assert {each.kind for each in found.doubts} == {DoubtKind.PLACE}


@pytest.mark.parametrize(("better", "family"), [(0.01, "dust"), (-0.01, "shadow")])
def test_drops_that_a_shadow_explains_are_named_by_their_shape(
    here: Subject, responses: Responses, monkeypatch: pytest.MonkeyPatch, better: float, family: str
) -> None:
    """How well the drops' residuals do beside the shadow is given.

    Patch by patch no band of shadow is like these: that is let pass here.
    """
    for doubts in ("_doubts_beside", "_doubt_of_images"):
        monkeypatch.setattr(f"inspection.causes.claim.{doubts}", lambda *_, **__: iter(()))
    lit = dripped_on(here, responses)
    shadow = diagnose(lit)
    assert (shadow.claimed, shadow.family) == (True, "shadow")

    def match(*given: object) -> MeasuredMatch:
        best, found = shadow.matches[0], match_measured(*given)  # type: ignore[arg-type]
        shares = Shares(best.share + better, best.overall_share + better, best.look_share + better)
        nearest = replace(found.nearest, shares=shares)
        return replace(found, name=RESIDUAL_TEXTURE, nearest=nearest)

    monkeypatch.setattr("inspection.causes.diagnosis.match_measured", match)
    found = diagnose(lit)
    assert (found.claimed, found.family, found.measured_alone) == (True, family, family == "dust")


@pytest.mark.parametrize(
    ("family", "beside"),
    [("defect contrast", False), ("defect edges", False), ("defect size", False), ("background", True)],
)
def test_no_tone_curve_takes_the_place_of_a_change_of_defects_alone(
    lamp: Case, monkeypatch: pytest.MonkeyPatch, family: str, beside: bool
) -> None:
    asked = list[set[str]]()

    def match(case: Case, least: float, names: list[str]) -> MeasuredMatch:
        asked.append(set(names))
        return match_measured(case, np.inf)  # of too little, whatever it is

    monkeypatch.setattr("inspection.causes.diagnosis.match_measured", match)
    found = diagnose(lamp)
    weak = replace(found.matches[0], share=2.0, overall_share=2.0, look_share=2.0)
    claimed = replace(found, family=family, matches=(weak, *found.matches[1:]))
    assert _with_measured(lamp, claimed) is claimed
    assert (TONE_CURVE in asked[-1]) is beside
    assert {FIXED_PATTERN, RESIDUAL_TEXTURE, TEXTURE_PRIMITIVE} <= asked[-1]


@pytest.mark.parametrize(
    ("strength", "unit", "words"),
    [
        (1.0, "doublings of gamma", "1 doubling of gamma"),
        (0.983, "doublings of gamma", "0.983 doublings of gamma"),
        (1.0001, "stops", "1 stop"),
        (1.0, "bits lost", "1 bit lost"),
        (1.0, "of full scale", "1 of full scale"),
        (137.2, "degrees", "137 degrees"),
    ],
)
def test_an_amount_is_said_as_a_person_says_it(strength: float, unit: str, words: str) -> None:
    assert OperationMatch("gamma", "darker", strength, unit, 0.9, 0.9, 0.9).amount == words
