"""Colour casts and saturation, by hand."""

import numpy as np
import pytest

from inspection.operations.catalogue import find_operation
from inspection.operations.colour import ColourCast
from tests.inspection.operations.trial_images import constant


def test_a_colour_cast_needs_three_channels() -> None:
    with pytest.raises(ValueError, match=r"\(9, 9, 1\); give three channels"):
        ColourCast(p=1.0)(image=np.zeros((9, 9, 1), np.uint8))


@pytest.mark.parametrize(
    ("name", "gains"),
    [
        ("warmer light", (2**0.5, 1, 2**-0.5)),
        ("cooler light", (2**-0.5, 1, 2**0.5)),
        ("green tint", (1, 2, 1)),
        ("magenta tint", (2, 1, 2)),
    ],
)
def test_one_stop_of_another_colour_keeps_the_luminance(name: str, gains: tuple[float, ...]) -> None:
    changed = find_operation(name).apply(constant(100, channels=3), 1.0, 0)[0, 0]
    luminance = 0.299 * gains[0] + 0.587 * gains[1] + 0.114 * gains[2]
    assert changed.tolist() == [round(100 * gain / luminance) for gain in gains]


def test_no_saturation_leaves_the_luminance() -> None:
    image = np.full((4, 4, 3), (200, 100, 50), np.uint8)
    changed = find_operation("lower saturation").apply(image, 1.0, 0)
    assert np.unique(changed).tolist() == [124]  # 0.299 * 200 + 0.587 * 100 + 0.114 * 50 = 124.2
    half = find_operation("lower saturation").apply(image, 0.5, 0)[0, 0]
    assert half.tolist() == [162, 112, 87]
