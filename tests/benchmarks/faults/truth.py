"""Which operation of the catalogue each planted fault is, and at which strength, where there is one.

Names and units are the catalogue's, written down here by hand from the physics in `planted`: a fault that no
operation computes in the same way has none.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

WITHIN = 0.2  # of the strength: how far a fitted one may be from the planted one

Strength = Callable[[float, int], float]  # (times the fault as logged, shorter side in pixels) -> in the unit

TRUTH: Mapping[str, tuple[str, Strength]] = {
    "dim_lamp": ("dimmer lamp", lambda times, side: times * math.log2(1 / 0.45)),
    "gamma_dark": ("gamma darker", lambda times, side: times),
    "overexposure": ("brighter lamp", lambda times, side: times * math.log2(1.5)),
    "gamma_bright": ("gamma brighter", lambda times, side: times),
    "guard_shadow": ("shadow at the top", lambda times, side: times * math.log2(1 / 0.28)),
    "dirty_vignette": ("vignette", lambda times, side: times * math.log2(5)),
    "defocus_disc": ("disc defocus", lambda times, side: 0.023 * side * times),
    "conveyor_smear": ("horizontal motion blur", lambda times, side: 1 + 0.1 * side * times),
    "dead_pixels": ("stuck pixels", lambda times, side: 0.04 * times),
    "jpeg_artifacts": ("JPEG compression", lambda times, side: 100 - 100 / (1 + 7.3 * times)),
    "tilted_part": ("rotation", lambda times, side: 9 * times),
    "zoomed": ("scale up", lambda times, side: 1.12**times - 1),
}


def named_rightly(mode: Mapping[str, Any], night: Mapping[str, Any]) -> tuple[bool, bool] | None:
    """Whether a mode names the planted operation, alone or among its equals, and its strength.

    None for a fault that no operation is.
    """
    if night["fault"] not in TRUTH:
        return None
    operation, strength = TRUTH[night["fault"]]
    named = {mode["operation"]: mode["strength"], **mode["equals"]} if mode["claimed"] else {}
    planted = strength(night["strength"], night["side"])
    right = operation in named
    return right, right and abs(named[operation] - planted) <= WITHIN * planted
