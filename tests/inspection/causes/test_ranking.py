"""The ranking: what each operation explains, written again; which come first, and what chance explains."""

from bisect import bisect_left
from dataclasses import replace

import numpy as np
import pytest

from fmi_engine.types import FloatArray
from inspection.causes.diagnosis import diagnose
from inspection.causes.ranking import match_of, rank, steps_of, try_leading
from inspection.evidence.case import Case
from inspection.evidence.nearest import NearestMatch, NearestReferences, Tried
from inspection.evidence.responses import ResponsePaths
from inspection.evidence.shift import Evidence, Shares
from inspection.evidence.subject import Subject
from inspection.nights.phrases import worded
from inspection.operations.catalogue import Change, Steps
from inspection.workspace.settings import MatchingSettings

LAMP = ("dimmer lamp", 1.0)


def by_hand(
    one: FloatArray, other: FloatArray, evidence: Evidence, before: FloatArray
) -> tuple[float, float, float]:
    """Three times 1 - sum w (o - d)^2 / sum w o^2: by blame, of all filters alike, of the look.

    With the shift goes as much of where the failing images offsets, nought to twice, as leaves least.
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
    lamp: Case,
) -> None:
    """Written again: the path by interpolation, and no strength of a fine grid has a higher mean share.

    The six operations that explain most are tried on the reference images most like the errors, if they
    come within a tenth of the best, and stand first with what they explain there.
    """
    found, evidence = diagnose(lamp), lamp.evidence
    assert found.matches == rank(lamp).matches
    known = lamp.effects
    fitted = {name: evidence.fit(path) for name, path in known.items()}
    first = sorted(fitted, key=lambda name: -fitted[name].share)[:6]
    near = {name for name in first if fitted[name].share >= fitted[first[0]].share - 0.1}
    assert 1 < len(near) < 6
    assert {each.operation for each in found.matches} == set(known)
    assert {each.operation for each in found.matches[: len(near)]} == near
    for each in found.matches:
        knots, induced = known[each.operation]
        shifts = {0.0: 0 * evidence.observed} | {s: i.shift for s, i in zip(knots, induced, strict=True)}
        offsets = [i.offset for i in induced]

        def at(strength: float, shifts: dict[float, FloatArray] = shifts) -> FloatArray:
            ordered = sorted(shifts)
            upper = min(max(bisect_left(ordered, strength), 1), len(ordered) - 1)
            low, high = ordered[upper - 1], ordered[upper]
            along = np.float32((strength - low) / (high - low))
            return (1 - along) * shifts[low] + along * shifts[high]

        reported = (each.share, each.overall_share, each.look_share)
        here_offset = [by_hand(evidence.observed, at(each.strength), evidence, before) for before in offsets]
        grid = [
            np.mean(by_hand(evidence.observed, at(strength), evidence, before))
            for strength in np.linspace(0, max(shifts), 60)
            for before in offsets
        ]
        assert max(np.mean(shares) for shares in here_offset) >= max(grid) - 5e-3, each.operation
        if each.operation in near:
            under = lamp.nearest.under(Steps(((each.operation, each.strength),))).shares
            assert reported == pytest.approx((under.blamed, under.overall, under.look), abs=1e-3)
        else:
            assert any(reported == pytest.approx(shares, abs=1e-3) for shares in here_offset), each.operation


def test_where_too_few_errors_are_nearer_every_reference_image_is_looked_at(
    lamp: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the best operation alone, before it is doubted."""
    under, looked = NearestReferences.under, list[bool]()

    def watched(self: NearestReferences, change: Change, everywhere: bool = False) -> NearestMatch:
        looked.append(everywhere)
        return under(self, change, everywhere)

    at = NearestReferences.at

    def few_nearer(self: NearestReferences, steps: Steps, effects: ResponsePaths) -> Tried:
        trial = at(self, steps, effects)
        none = replace(trial.match.look_closer(), nearer=0)
        return replace(trial, match=replace(trial.match, look_closer=lambda: none))

    monkeypatch.setattr(NearestReferences, "at", few_nearer)
    monkeypatch.setattr(NearestReferences, "under", watched)
    found = diagnose(lamp)
    assert found.claimed
    assert found.nearer_share is not None
    assert found.nearer_share > 0.5
    assert looked.count(True) == 1


def test_the_least_unexplained_comes_first_and_alternatives_are_those_near_it(
    lamp: Case,
) -> None:
    found, evidence = diagnose(lamp), lamp.evidence
    assert found.matches == rank(lamp).matches

    def left(shares: tuple[float, float, float]) -> float:
        views = (*shares, shares[2])
        return float(np.prod([max(1 - share, 0.01) for share in views]))

    known, ranks = lamp.effects, []
    for place, each in enumerate(found.matches):
        fit = evidence.fit(known[each.operation])
        induced = fit.at(known[each.operation])
        plain = left(by_hand(evidence.observed, induced.shift, evidence, induced.offset))
        steps = [(each.operation, each.strength)]
        under = lamp.nearest.under(Steps(tuple(steps))) if place < 4 else None
        reported = (each.share, each.overall_share, each.look_share)
        tried = under is not None and reported == pytest.approx(
            (under.shares.blamed, under.shares.overall, under.shares.look), abs=1e-6
        )
        if under is not None and tried:
            plain = left(reported) * max(1 - under.nearer / under.errors, 0.01)
            plain *= max(1 - under.place.share, 0.01)
        ranks.append((not tried, plain))
    assert ranks == sorted(ranks, key=lambda each: (each[0], round(each[1], 6)))
    assert not ranks[1][0]
    best = found.matches[0]
    assert not best.alternative


def test_equals_are_those_that_resampled_errors_cannot_tell_from_the_best(lamp: Case) -> None:
    trials = try_leading(lamp)
    found = rank(lamp)
    best = trials[found.matches[0].operation].match
    for each in found.matches[1:]:
        trial = trials.get(each.operation)
        worse = trial is None or np.quantile(trial.match.resampled - best.resampled, 0.05) > 0
        assert each.alternative <= (not worse)
    assert sum(each.alternative for each in found.matches) <= 2


# --- the control ---


def test_a_share_that_faultless_logs_reach_by_chance_is_not_claimed(here: Subject, lamp: Case) -> None:
    responses = lamp.responses
    strengths, induced = lamp.effects["dimmer lamp"]
    dark = induced[strengths.index(1.0)].shift[: len(lamp.evidence.blame)]
    looks = responses.references[:, len(dark) :]
    pool = np.concatenate([np.tile(dark, (len(looks), 1)), looks], axis=1)  # all faultless ones as if dimmed
    settings = here.settings.model_copy(update={"matching": MatchingSettings(measured_share=1.0)})
    strict = replace(here, workspace=replace(here.workspace, settings=settings))
    found = worded(diagnose(replace(lamp, subject=strict, responses=replace(responses, references=pool))))
    assert not found.claimed
    assert found.control_share == pytest.approx(1.0, abs=1e-3)
    assert any("by chance" in reason for reason in found.reasons)


def test_an_account_goes_as_far_as_its_operations_do() -> None:
    """Defects lose at most all of their contrast, a lamp may lose any light."""
    shares, image = Shares(0.9, 0.9, 0.9), np.full((1, 16, 16, 1), 100, np.uint8)
    image[0, 7:9] = 180
    account = [match_of(name, strength, shares) for name, strength in (("fainter defects", 0.8), LAMP)]
    assert steps_of(account) == Steps((("fainter defects", 0.8), LAMP))
    further = steps_of(account, 1.5)
    assert further == Steps((("fainter defects", 0.8 * 1.5), ("dimmer lamp", 1.5)))
    assert np.array_equal(further(image), Steps((("fainter defects", 1.0), ("dimmer lamp", 1.5)))(image))
