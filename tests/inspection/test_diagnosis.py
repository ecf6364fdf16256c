"""The diagnosis: the aged lamp is named, and what no operation explains is not."""

from bisect import bisect_left
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from fmi_engine.types import FloatArray, Screening
from inspection.admission import Admitted
from inspection.blame import screen
from inspection.config import MatchingSettings
from inspection.diagnosis import diagnose
from inspection.findings import Cause, OperationMatch
from inspection.lookalikes import Change, Likeness, Lookalikes, Trial, seek_lookalikes
from inspection.matching import Evidence, Path, Shares, gather, paths
from inspection.mode_recipe import write_mode_recipe
from inspection.operations import find_operation
from inspection.overlays import FIXED_PATTERN, RESIDUAL_TEXTURE
from inspection.recipes import RecipeTransform, load_recipe
from inspection.responses import Responses, Steps, measure_responses
from inspection.sample_line import Camera, SampleLine
from inspection.subject import Subject, open_subject
from inspection.textures import BOTH, MeasuredMatch, match_measured
from tests.inspection.conftest import SIZE, Plant

pytestmark = pytest.mark.numeric


@pytest.fixture(scope="module")
def here(plant: Plant, tmp_path_factory: pytest.TempPathFactory) -> Subject:
    """The plant's model in a workspace that may be written to."""
    mine = plant.copied(tmp_path_factory.mktemp("diagnosis") / "workspace")
    return open_subject(mine.workspace, mine.model, mine.references)


@pytest.fixture(scope="module")
def responses(here: Subject) -> Responses:
    return measure_responses(here)


def test_an_aged_lamp_is_named_as_darker_with_its_strength(
    here: Subject, responses: Responses, screening: Screening, admitted: Admitted
) -> None:
    found = diagnose(here, screening, admitted.images, responses)
    assert found.claimed, found.reasons
    assert found.family == "darker"
    lamp = next(each for each in found.matches if each.operation == "dimmer lamp")
    assert lamp.strength == pytest.approx(-np.log2(0.4), rel=0.2)  # the lamp's true age, in stops
    assert found.sentence.endswith(".")
    assert f"{found.share:.0%}" in found.sentence


def by_hand(
    one: FloatArray, other: FloatArray, evidence: Evidence, before: FloatArray
) -> tuple[float, float, float]:
    """Three times 1 - sum w (o - d)^2 / sum w o^2: by blame, of all filters alike, of the look.

    With the shift goes as much of where the failing images stood, nought to twice, as leaves least.
    """
    n, weights = before, evidence.weights
    other = (
        other + np.float32(np.clip((weights * (one - other) * n).sum() / (weights * n * n).sum(), 0, 2)) * n
    )
    filters = len(evidence.blame)
    views = (
        (slice(filters), evidence.blame),
        (slice(filters), np.ones(filters)),
        (slice(filters, None), evidence.look),
    )
    blamed, overall, look = (
        1 - float((w * (one[view] - other[view]) ** 2).sum() / (w * one[view] ** 2).sum())
        for view, w in views
    )
    return blamed, overall, look


def test_the_shares_are_those_of_the_formula_at_the_strength_that_suits_all_three(
    here: Subject, responses: Responses, screening: Screening, admitted: Admitted
) -> None:
    """Written again: the path by interpolation, and no strength of a fine grid has a higher mean share.

    The six operations that explain most are tried on the reference images most like the errors, if they
    come within a tenth of the best, and stand first with what they explain there.
    """
    found = diagnose(here, screening, admitted.images, responses)
    evidence = gather(here, screening, admitted.images)
    lookalikes = seek_lookalikes(here, screening, admitted.images, responses, evidence)
    known = paths(responses, screening.true)
    fitted = {name: evidence.fit(path) for name, path in known.items()}
    first = sorted(fitted, key=lambda name: -fitted[name].share)[:6]
    near = {name for name in first if fitted[name].share >= fitted[first[0]].share - 0.1}
    assert 1 < len(near) < 6
    assert {each.operation for each in found.matches} == set(known)
    assert {each.operation for each in found.matches[: len(near)]} == near
    for each in found.matches:
        knots, induced = known[each.operation]
        shifts = {0.0: 0 * evidence.observed} | {s: i.shift for s, i in zip(knots, induced, strict=True)}
        stood = [i.before for i in induced]

        def at(strength: float, shifts: dict[float, FloatArray] = shifts) -> FloatArray:
            ordered = sorted(shifts)
            upper = min(max(bisect_left(ordered, strength), 1), len(ordered) - 1)
            low, high = ordered[upper - 1], ordered[upper]
            along = np.float32((strength - low) / (high - low))
            return (1 - along) * shifts[low] + along * shifts[high]

        reported = (each.share, each.overall_share, each.look_share)
        here_stood = [by_hand(evidence.observed, at(each.strength), evidence, before) for before in stood]
        grid = [
            np.mean(by_hand(evidence.observed, at(strength), evidence, before))
            for strength in np.linspace(0, max(shifts), 60)
            for before in stood
        ]
        assert max(np.mean(shares) for shares in here_stood) >= max(grid) - 5e-3, each.operation
        if each.operation in near:
            under = lookalikes.under(Steps(((each.operation, each.strength),))).shares
            assert reported == pytest.approx((under.blamed, under.overall, under.look), abs=1e-3)
        else:
            assert any(reported == pytest.approx(shares, abs=1e-3) for shares in here_stood), each.operation


def test_where_too_few_errors_are_nearer_every_reference_image_is_looked_at(
    here: Subject,
    responses: Responses,
    screening: Screening,
    admitted: Admitted,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of the best operation alone, before it is doubted."""
    under, looked = Lookalikes.under, list[bool]()

    def watched(self: Lookalikes, change: Change, everywhere: bool = False) -> Likeness:
        looked.append(everywhere)
        return under(self, change, everywhere)

    at = Lookalikes.at

    def few_nearer(self: Lookalikes, operation: str, strength: float, path: Path) -> Trial:
        trial = at(self, operation, strength, path)
        return replace(trial, likeness=replace(trial.likeness, nearer=0))

    monkeypatch.setattr(Lookalikes, "at", few_nearer)
    monkeypatch.setattr(Lookalikes, "under", watched)
    found = diagnose(here, screening, admitted.images, responses)
    assert found.claimed
    assert found.nearer_share is not None
    assert found.nearer_share > 0.5
    assert looked.count(True) == 1


def test_the_least_unexplained_comes_first_and_alternatives_are_those_near_it(
    here: Subject, responses: Responses, screening: Screening, admitted: Admitted
) -> None:
    settings = here.settings.matching
    found = diagnose(here, screening, admitted.images, responses)
    evidence = gather(here, screening, admitted.images)
    lookalikes = seek_lookalikes(here, screening, admitted.images, responses, evidence)

    def left(shares: tuple[float, float, float]) -> float:
        views = (*shares, shares[2])
        return float(np.prod([max(1 - share, 0.005) for share in views]))

    known, ranks = paths(responses, screening.true), []
    for place, each in enumerate(found.matches):
        fit = evidence.fit(known[each.operation])
        induced = fit.at(known[each.operation])
        plain = left(by_hand(evidence.observed, induced.shift, evidence, induced.before))
        steps = [(each.operation, each.strength)]
        under = lookalikes.under(Steps(tuple(steps))) if place < 4 else None
        reported = (each.share, each.overall_share, each.look_share)
        tried = under is not None and reported == pytest.approx(
            (under.shares.blamed, under.shares.overall, under.shares.look), abs=1e-6
        )
        if under is not None and tried:
            plain *= left(reported) * max(1 - under.nearer / under.errors, 0.02)
        ranks.append((not tried, plain))
    assert ranks == sorted(ranks)
    assert not ranks[1][0]
    best = found.matches[0]
    top = (best.share + best.overall_share + best.look_share) / 3
    for each in found.matches[1:]:
        near = (each.share + each.overall_share + each.look_share) / 3 >= top - settings.alternative_margin
        assert each.alternative == (near and each.look_share >= best.look_share - settings.look_margin)
    assert not best.alternative


def test_exchanged_labels_on_images_without_a_fault_are_a_matter_of_labels(
    here: Subject, responses: Responses
) -> None:
    data = here.correct
    wrong = (data.labels + 1) % len(here.model.class_names)
    errors = Admitted((), data.images, wrong, ())
    found = diagnose(here, screen(here, data.images, wrong), data.images, responses)
    assert (found.claimed, found.cause, found.operation, found.measured) == (False, Cause.LABELS, None, None)
    assert "Check the labels" in found.sentence
    assert "errors" in found.reasons[0]
    assert write_mode_recipe(here, "n-1", "n-1-1", errors, found, (), ()) is None
    assert not here.workspace.night_folder("n-1").exists()


@pytest.mark.parametrize("count", [2, 4, 5])
def test_too_few_errors_are_not_diagnosed(
    here: Subject, responses: Responses, screening: Screening, admitted: Admitted, count: int
) -> None:
    """Of a lamp that is named otherwise; five are enough to be judged, whatever is then found."""
    few = np.arange(count)
    found = diagnose(here, screening.subset(few), admitted.images[few], responses)
    too_few = f"{count} errors are too few: 5 are needed"
    assert (too_few in found.reasons) == (count < 5)
    if count < 5:
        assert (found.claimed, found.operation, found.measured) == (False, None, None)


# --- two causes, and one that the catalogue does not hold ---


def rendered(here: Subject, line: SampleLine, seed: int = 5) -> Admitted:
    """The errors that the model makes on a line, 24 parts of every class."""
    true = np.repeat(np.arange(len(here.model.class_names)), 24)
    images = np.stack(
        [
            line.render(here.model.class_names[label], np.random.default_rng([seed, i]))[..., None]
            for i, label in enumerate(true)
        ]
    )
    return wrong_of(here, images, true)


def wrong_of(here: Subject, images: NDArray[np.uint8], true: NDArray[np.int64]) -> Admitted:
    wrong = here.classifier.predict(images).argmax(1) != true
    assert wrong.sum() >= 30
    return Admitted((), images[wrong], true[wrong], ())


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
    errors = rendered(here, replace(LINE.aged(0.6), camera=camera))
    blamed = screen(here, errors.images, errors.true)
    found = diagnose(here, blamed, errors.images, responses)
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
    evidence = gather(here, blamed, errors.images)
    lookalikes = seek_lookalikes(here, blamed, errors.images, responses, evidence)
    both = lookalikes.under(Steps(tuple(steps))).shares
    shares = (both.blamed, both.overall, both.look)
    for each in found.pair:
        assert (each.share, each.overall_share, each.look_share) == pytest.approx(shares, abs=1e-3)
    assert np.mean(shares) > alone + here.settings.matching.pair_gain
    assert found.share == found.pair[0].share
    assert found.sentence.startswith("Two changes at once: ")
    recipe = write_mode_recipe(here, "n-2", "n-2-1", errors, found, (), ())
    assert recipe is not None
    groups = load_recipe(here.workspace.root / recipe.path).ingredients
    assert [[each.operation for each in group] for group in groups] == [[name] for name, _ in steps]


@pytest.fixture
def crossed(here: Subject) -> Admitted:
    """Two crossing waves of six pixels on every image, their phases at random."""
    rng = np.random.default_rng(0)
    data = here.labelled
    down, across = np.mgrid[:SIZE, :SIZE] * (2 * np.pi / 6)
    waves = [
        20 * (np.sin(across + rng.uniform(0, 6.3)) + np.sin(down + rng.uniform(0, 6.3)))[..., None]
        for _ in range(len(data))
    ]
    return wrong_of(here, np.clip(np.rint(data.images + waves), 0, 255).astype(np.uint8), data.labels)


def without_textures(responses: Responses) -> Responses:
    """A catalogue of light and sharpness alone."""
    return of_families(responses, ("darker", "brighter", "contrast", "side light", "hot spot", "defocus"))


def of_families(responses: Responses, families: tuple[str, ...]) -> Responses:
    kept = [name for name in responses.shifts if find_operation(name).family in families]
    return replace(
        responses,
        shifts={name: responses.shifts[name] for name in kept},
        looks={name: responses.looks[name] for name in kept},
    )


def test_a_texture_that_the_catalogue_does_not_hold_is_measured_and_goes_into_the_recipe(
    here: Subject, responses: Responses, crossed: Admitted
) -> None:
    blamed = screen(here, crossed.images, crossed.true)
    found = diagnose(here, blamed, crossed.images, without_textures(responses))
    assert found.claimed, found.reasons
    assert (found.cause, found.family) == (Cause.APPEARANCE, "texture")
    assert found.measured == found.operation
    assert found.measured in (RESIDUAL_TEXTURE, BOTH)
    assert found.share > 0.7
    assert found.sentence.startswith("Texture, read off the errors themselves: the ")
    recipe = write_mode_recipe(here, "n-3", "n-3-1", crossed, found, (), ())
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


def test_what_explains_no_other_errors_is_not_claimed(
    here: Subject, responses: Responses, crossed: Admitted
) -> None:
    settings = here.settings.model_copy(update={"matching": MatchingSettings(measured_share=1.0)})
    strict = replace(here, workspace=replace(here.workspace, settings=settings))
    blamed = screen(here, crossed.images, crossed.true)
    found = diagnose(strict, blamed, crossed.images, without_textures(responses))
    assert (found.claimed, found.cause, found.measured) == (False, Cause.UNKNOWN, None)
    assert "measured on one half of the errors explains" in found.reasons[-1]
    assert write_mode_recipe(here, "n-4", "n-4-1", crossed, found, (), ()) is None


def test_a_measured_change_stands_beside_an_operation_that_it_explains_as_well_as(
    here: Subject, responses: Responses
) -> None:
    """Specks at one place: dust, and where it lies. A lamp leaves nothing to measure."""
    data, specks = here.labelled, np.zeros((SIZE, SIZE, 1), np.float32)
    rng = np.random.default_rng(3)
    for row, column in rng.integers(2, SIZE - 4, (9, 2)):
        specks[row : row + 2, column : column + 2] = -1.2
    errors = wrong_of(here, np.rint(data.images * np.exp(specks)).astype(np.uint8), data.labels)
    found = diagnose(here, screen(here, errors.images, errors.true), errors.images, responses)
    assert found.claimed, found.reasons
    assert found.family == "dust"
    assert found.measured == FIXED_PATTERN or found.measured_alone
    if not found.measured_alone:
        best = found.matches[0]
        assert found.operation == best.operation
        assert found.sentence.endswith("goes into the recipe beside it.")
        assert (best.share + best.overall_share + best.look_share) / 3 <= 1 - 0.05
    lamp = rendered(here, LINE.aged(0.5))
    assert diagnose(here, screen(here, lamp.images, lamp.true), lamp.images, responses).measured is None


def test_a_measured_change_that_takes_half_of_what_an_operation_leaves_is_the_cause(
    here: Subject, responses: Responses, crossed: Admitted
) -> None:
    """Stripes one way come near to waves that cross, near enough to be claimed if nothing were better."""
    found = diagnose(here, screen(here, crossed.images, crossed.true), crossed.images, responses)
    nearest = found.matches[0]
    assert nearest.operation in ("vertical stripes", "horizontal stripes")
    assert min(nearest.share, nearest.overall_share) > 0.75
    assert nearest.look_share > 0.5
    assert (found.claimed, found.family, found.measured_alone) == (True, "texture", True)
    assert f"The nearest operation of the catalogue, {nearest.operation}, explains" in found.sentence
    assert found.share > nearest.share


@pytest.mark.parametrize(("better", "family"), [(0.01, "dust"), (-0.01, "shadow")])
def test_drops_that_a_shadow_explains_are_named_by_their_shape(
    here: Subject, responses: Responses, monkeypatch: pytest.MonkeyPatch, better: float, family: str
) -> None:
    """Three round drops an image, each elsewhere; how well their residuals do beside the shadow is given."""
    data, depth = here.labelled, np.zeros((len(here.labelled), SIZE, SIZE, 1))
    rng, (rows, columns) = np.random.default_rng(3), np.mgrid[:SIZE, :SIZE]
    for drops in depth:
        for row, column in rng.uniform(2, SIZE - 2, (3, 2)):
            drops[np.hypot(rows - row, columns - column) < 4] = -1
    errors = wrong_of(here, np.rint(data.images * np.exp(depth)).astype(np.uint8), data.labels)
    blamed = screen(here, errors.images, errors.true)
    lit = of_families(responses, ("darker", "shadow"))
    shadow = diagnose(here, blamed, errors.images, lit)
    assert (shadow.claimed, shadow.family) == (True, "shadow")

    def match(*given: object) -> MeasuredMatch:
        best, found = shadow.matches[0], match_measured(*given)  # type: ignore[arg-type]
        shares = Shares(best.share + better, best.overall_share + better, best.look_share + better)
        likeness = replace(found.likeness, shares=shares, nearer=found.likeness.errors)
        return replace(found, name=RESIDUAL_TEXTURE, likeness=likeness)

    monkeypatch.setattr("inspection.diagnosis.match_measured", match)
    found = diagnose(here, blamed, errors.images, lit)
    assert (found.claimed, found.family, found.measured_alone) == (True, family, family == "dust")


# --- the control ---


def test_a_share_that_faultless_logs_reach_by_chance_is_not_claimed(
    here: Subject, responses: Responses, screening: Screening, admitted: Admitted
) -> None:
    dark = responses.of_filters(screening.true)["dimmer lamp"][1][2]
    looks = responses.known[:, len(dark) :]
    pool = np.concatenate([np.tile(dark, (len(looks), 1)), looks], axis=1)  # all faultless ones as if dimmed
    settings = here.settings.model_copy(update={"matching": MatchingSettings(measured_share=1.0)})
    strict = replace(here, workspace=replace(here.workspace, settings=settings))
    found = diagnose(strict, screening, admitted.images, replace(responses, known=pool))
    assert not found.claimed
    assert found.control_share == pytest.approx(1.0, abs=1e-3)
    assert any("by chance" in reason for reason in found.reasons)


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
