"""Every fault tried on a few images before anything is trained."""

from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from tests.benchmarks.planted import Fault, plant


def rehearse(faults: Mapping[str, Fault], images: NDArray[np.uint8], strengths: Sequence[float]) -> None:
    """Plant every fault in every image (n, height, width, channel) at every strength, twice alike.

    Raises ValueError, with what the fault was given and what is expected of it, for the first that raises,
    answers anything but an image of the same shape and type, or answers otherwise for the same seed.
    """
    for (name, fault), strength, (i, image) in product(faults.items(), strengths, enumerate(images)):
        once, again = (plant(fault, image, np.random.default_rng(i), strength) for _ in range(2))
        differing = int((once != again).sum())
        if differing:
            raise ValueError(
                f"the fault {name} was given the same image {image.dtype} of shape {image.shape}, strength "
                f"{strength:g} and seed twice and returned images that differ in {differing} of {once.size} "
                "values; expected the same: draw from the rng alone, and keep nothing between two calls"
            )
