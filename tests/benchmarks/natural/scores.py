"""The benchmark's answer: accuracies with their intervals, which claims are right, and what was closed."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inspection.models.comparison import mcnemar
from tests.benchmarks.natural.arms import ARMS, Night, claimed

RESAMPLES = 2000
SIGNIFICANT = 0.05
CONDITIONS = ("new", "old")
Hits = NDArray[np.bool_]  # (images,) of one seed, or (seeds, images)
Scored = dict[str, Any]


def accuracy(hits: Hits, labels: NDArray[np.int64], names: Sequence[str]) -> Scored:
    """Mean accuracy of (seeds, images), of all and of every class, with 95 % intervals."""
    return interval(hits) | {
        "classes": {name: interval(hits[:, labels == i]) for i, name in enumerate(names)}
    }


def interval(hits: NDArray[Any]) -> dict[str, float]:
    """The mean of (seeds, images) and its 95 % bootstrap interval, over seeds and images.

    The seeds judge the same images. Resampled one by one, they would count every image several times.
    """
    seeds, images = hits.shape
    if not seeds or not images:
        return {"mean": math.nan, "low": math.nan, "high": math.nan}
    rng = np.random.default_rng(0)
    of_seeds = rng.multinomial(seeds, np.full(seeds, 1 / seeds), RESAMPLES) / seeds
    of_images = rng.multinomial(images, np.full(images, 1 / images), RESAMPLES) / images
    means = np.einsum("rs,si,ri->r", of_seeds, hits.astype(float), of_images, optimize=True)
    low, high = np.quantile(means, (0.025, 0.975))
    return {"mean": float(hits.mean()), "low": float(low), "high": float(high)}


def beats(mine: Hits, rival: Hits) -> tuple[bool, float]:
    """Whether significantly more images (images,) are right than with a rival; exact McNemar, two-sided.

    Of one seed: each seed's night is another model's, with another log and another claim. Pooled, every
    image would count once a seed, and the test would take a difference for more certain than it is.
    """
    fixed, broken = int((mine & ~rival).sum()), int((rival & ~mine).sum())
    p = mcnemar(fixed, broken)
    return fixed > broken and p < SIGNIFICANT, p


def claims_of(
    night: Night, hits: Mapping[str, Hits], gate: Callable[[int], tuple[bool, tuple[str, ...]]]
) -> list[Scored]:
    """The claims of a seed's night with whether each is right; `hits` are under the new condition, by arm.

    `gate` says of a claim's candidate, by the number of its mode, whether `fmi retrain` accepts it, and why.
    """
    rivals = {name: int(each.sum()) for name, each in hits.items() if name.startswith("forced ")}
    found = []
    for number in claimed(night):
        mode, mine = night["modes"][number - 1], hits[f"claim {number}"]
        better, p = beats(mine, hits["generic"])
        best = int(mine.sum()) >= max(rivals.values(), default=0)
        accepted, reasons = gate(number)
        found.append(
            {
                "seed": night["seed"],
                "mode": number,
                "errors": mode["errors"],
                "family": mode["family"],
                "operation": mode["operation"],
                "strength": mode["strength"],
                "right": better or best,
                "beats_generic": better,
                "p_value": p,
                "best_of_forced": best,
                "accepted": accepted,
                "gate": list(reasons),
                "images_right": {
                    "before": int(hits["before"].sum()),
                    "generic": int(hits["generic"].sum()),
                    "claim": int(mine.sum()),
                    **rivals,
                },
            }
        )
    return found


def right_forced(night: Night, hits: Mapping[str, Hits]) -> list[str]:
    """The operations of a night whose forced recipe beats generic augmentation significantly."""
    return [name for name in night["forced"] if beats(hits[f"forced {name}"], hits["generic"])[0]]


def arms(hits: Sequence[Mapping[str, Mapping[str, Hits]]], judges: Mapping[str, Any]) -> Scored:
    """Every arm over the seeds; `hits` are by seed, arm and condition, `judges` labels by condition."""
    found: Scored = {name: _both([each[name] for each in hits], judges) for name in ARMS}
    forced = dict.fromkeys(name for each in hits for name in each if name.startswith("forced "))
    found["forced"] = {
        name.removeprefix("forced "): _both([each[name] for each in hits if name in each], judges)
        for name in forced
    }
    return found


def _both(seeds: Sequence[Mapping[str, Hits]], judges: Mapping[str, Any]) -> Scored:
    of_each = {
        name: accuracy(np.stack([each[name] for each in seeds]), judges[name], judges["classes"])
        for name in CONDITIONS
    }
    return of_each | {"seeds": len(seeds)}


def drop(hits: Sequence[Mapping[str, Mapping[str, Hits]]]) -> Scored:
    """How much less accurate the model is under the new condition, and whether that is more than chance."""
    before = {name: np.stack([each["before"][name] for each in hits]).astype(float) for name in CONDITIONS}
    seeds, rng = len(hits), np.random.default_rng(0)
    of_seeds = rng.multinomial(seeds, np.full(seeds, 1 / seeds), RESAMPLES) / seeds
    means = {}
    for name, each in before.items():
        n = each.shape[1]
        of_images = rng.multinomial(n, np.full(n, 1 / n), RESAMPLES) / n
        means[name] = np.einsum("rs,si,ri->r", of_seeds, each, of_images, optimize=True)
    low, high = np.quantile(means["old"] - means["new"], (0.025, 0.975))
    fall = float(before["old"].mean() - before["new"].mean())
    return {"fall": fall, "low": float(low), "high": float(high), "real": bool(low > 0)}


def closed(measured: Mapping[str, Any]) -> dict[str, float]:
    """How far every arm comes on the way from before to the ceiling, under the new condition."""
    before, ceiling = (measured[name]["new"]["mean"] for name in ("before", "ceiling"))
    way = ceiling - before
    return {
        name: (measured[name]["new"]["mean"] - before) / way if way > 0 else math.nan
        for name in ARMS
        if name != "before"
    }


def summary(answer: Mapping[str, Any]) -> Scored:
    """What the benchmark is for, in a few numbers; points are accuracy on unseen images."""
    claims, nights, measured = answer["claims"], answer["nights"], answer["arms"]
    possible = {night["seed"] for night in nights if night["right_forced"]}
    named = {claim["seed"] for claim in claims if claim["right"]} & possible
    new, old = ({arm: measured[arm][name]["mean"] for arm in ARMS} for name in CONDITIONS)
    alone = max(new[arm] for arm in ARMS if arm.startswith("logged_"))
    return {
        "claims": len(claims),
        "right_claims": sum(claim["right"] for claim in claims),
        "nights_with_a_right_forced_operation": len(possible),
        "of_these_rightly_claimed": len(named),
        "closed_by_recipe_logged": answer["closed"]["recipe_logged"],
        "recipe_logged_beyond_best_logged": new["recipe_logged"] - alone,
        "old_changed_by_recipe_logged": old["recipe_logged"] - old["before"],
        "classes_that_recipe_logged_harms": sum(
            each["arm"] == "recipe_logged" and each["condition"] == "old" for each in answer["falls"]
        ),
    }


def falls(hits: Mapping[str, Mapping[str, Hits]], judges: Mapping[str, Any], seed: int) -> list[Scored]:
    """The classes of a seed that an arm makes significantly worse than the deployed model has them."""
    found = []
    for arm in hits:
        for condition in CONDITIONS:
            labels, before, after = judges[condition], hits["before"][condition], hits[arm][condition]
            for i, name in enumerate(judges["classes"]):
                mine = labels == i
                worse, p = beats(before[mine], after[mine])
                if worse:
                    found.append(
                        {
                            "seed": seed,
                            "arm": arm,
                            "condition": condition,
                            "class": name,
                            "images": int(mine.sum()),
                            "before": int(before[mine].sum()),
                            "after": int(after[mine].sum()),
                            "p_value": p,
                        }
                    )
    return found
