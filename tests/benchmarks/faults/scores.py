"""The benchmark's answer: what the single nights add up to."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tests.benchmarks.faults.retraining import ARMS, MEASURES
from tests.benchmarks.faults.truth import named_rightly

Night = Mapping[str, Any]
RESAMPLES = 2000


def single(nights: Sequence[Night]) -> dict[str, Any]:
    """One cause: how often it is claimed and first, first whether claimed or not, second, an alternative."""
    scored = [night for night in nights if night["modes"]]
    firsts = [_first(night) for night in scored]
    return {
        "nights": len(scored),
        **share("top1", [mode["claimed"] and mode["family"] == night["family"] for mode, night in firsts]),
        **share("ranked_first", [_ranking(mode)[0] == night["family"] for mode, night in firsts]),
        **share("top2", [night["family"] in _ranking(mode)[:2] for mode, night in firsts]),
        **share(
            "alternatives",
            [night["family"] in {_ranking(mode)[0], *mode["alternatives"]} for mode, night in firsts],
        ),
        **share("claimed", [mode["claimed"] for mode, _ in firsts]),
        **share(
            "wrong_claim",
            [mode["claimed"] and mode["family"] != night["family"] for mode, night in firsts],
        ),
        **_operations([named_rightly(mode, night) for mode, night in firsts]),
        "explained_share": _mean([mode["shares"][0] for mode, _ in firsts]),
        **share("one_mode", [len(night["modes"]) == 1 for night in scored]),
        "by_fault": {
            fault: _mean(
                [m["claimed"] and m["family"] == n["family"] for m, n in firsts if n["fault"] == fault]
            )
            for fault in sorted({night["fault"] for night in scored})
        },
    }


def _operations(named: Sequence[tuple[bool, bool] | None]) -> dict[str, Any]:
    """How often the operation is named, alone or among its equals, and its strength, where it is known."""
    known = [each for each in named if each is not None]
    return {
        "operations_known": len(known),
        **share("operation", [right for right, _ in known]),
        **share("strength", [right for _, right in known]),
    }


def double(nights: Sequence[Night]) -> dict[str, Any]:
    """Two causes at once: both claimed, and how pure the modes are."""
    both = [set(night["families"]) <= _claimed(night) for night in nights]
    purities = [
        sum(max(mode["planted"].values()) for mode in night["modes"])
        / max(sum(mode["errors"] for mode in night["modes"]), 1)
        for night in nights
    ]
    return {"nights": len(nights), **share("both", both), "purity": _mean(purities)}


def clean(nights: Sequence[Night]) -> dict[str, Any]:
    """No fault, or wrong labels only: how often a cause is claimed all the same."""
    false = {
        kind: [bool(_claimed(night)) for night in nights if night["kind"] == kind]
        for kind in ("clean", "labels")
    }
    labels = [night for night in nights if night["kind"] == "labels"]
    return {
        "nights": len(nights),
        **share("false_cause", [*false["clean"], *false["labels"]]),
        **share("clean", false["clean"]),
        **share("labels", false["labels"]),
        **share(
            "labels_suspected",
            [any(mode["cause"] == "labels" for mode in night["modes"]) for night in labels],
        ),
    }


def flip(nights: Sequence[Night]) -> dict[str, Any]:
    """Flip rates by blame and by both controls, averaged over faults."""
    rates = [night["flip"] for night in nights if night.get("flip")]
    means = {name: _mean([rate[name] for rate in rates]) for name in ("blame", "deviation", "random")}
    better = max(means["deviation"], means["random"])
    return {
        "nights": len(rates),
        **means,
        "collateral": _mean([rate["collateral"] for rate in rates]),
        "times_better_control": means["blame"] / better if better else math.nan,
    }


def retraining(runs: Sequence[Night]) -> dict[str, Any]:
    """Mean accuracy of every arm by count of logged images, with 95 % intervals over faults and seeds."""
    counts = sorted({run["logged"] for run in runs})
    return {
        str(count): {
            arm: _measured([run["arms"][arm] for run in runs if run["logged"] == count])
            for arm in ("before", *ARMS)
        }
        for count in counts
    }


def gains(runs: Sequence[Night]) -> dict[str, Any]:
    """What recipe + logged gains over its rivals, and what it recovers of the ceiling, per count."""
    found: dict[str, Any] = {}
    for count in sorted({run["logged"] for run in runs}):
        mine = [run["arms"] for run in runs if run["logged"] == count]
        found[str(count)] = {
            rival: _measured(
                [
                    {measure: arms["recipe_logged"][measure] - arms[rival][measure] for measure in MEASURES}
                    for arms in mine
                ]
            )
            for rival in ("before", "logged", "generic_logged", "ceiling")
        }
        found[str(count)]["recovered"] = _recovered(mine)
    return found


def _measured(values: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for measure in MEASURES:
        found |= interval(measure, [value[measure] for value in values])
    return found


def _recovered(runs: Sequence[Mapping[str, Mapping[str, float]]]) -> float:
    """The gain on faulted images as a share of what the true fault as augmentation gains, over all runs."""
    gained = [arms["recipe_logged"]["faulted"] - arms["before"]["faulted"] for arms in runs]
    possible = [arms["ceiling"]["faulted"] - arms["before"]["faulted"] for arms in runs]
    return float(sum(gained) / sum(possible)) if sum(possible) > 0 else math.nan


def share(name: str, hits: Sequence[bool]) -> dict[str, Any]:
    """A share, and beside it its 95 % interval (Wilson, Probable inference, 1927)."""
    n = len(hits)
    if not n:
        return {name: math.nan, f"{name}_interval": [math.nan, math.nan]}
    p, z = sum(map(bool, hits)) / n, 1.959964
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return {name: p, f"{name}_interval": [max(0.0, middle - half), min(1.0, middle + half)]}


def interval(name: str, values: Sequence[float]) -> dict[str, Any]:
    """A mean, and beside it its 95 % bootstrap interval; values that are not numbers are left out."""
    known = np.array([value for value in values if not math.isnan(value)])
    if not len(known):
        return {name: math.nan, f"{name}_interval": [math.nan, math.nan]}
    draws = np.random.default_rng(0).choice(known, (RESAMPLES, len(known))).mean(1)
    return {name: float(known.mean()), f"{name}_interval": np.quantile(draws, (0.025, 0.975)).tolist()}


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else math.nan


def _first(night: Night) -> tuple[Mapping[str, Any], Night]:
    return night["modes"][0], night


def _ranking(mode: Mapping[str, Any]) -> list[str]:
    first = [mode["family"]] if mode["claimed"] else []
    return list(dict.fromkeys([*first, *mode["families"]]))


def _claimed(night: Night) -> set[str]:
    return {
        family
        for mode in night["modes"]
        if mode["claimed"]
        for family in (mode["family"], *mode["pair_families"])
    }
