"""What an operation refuses, and what all transforms of ours have in common."""

import math

import albumentations as A
import numpy as np
import pytest

from inspection.errors import InspectionError
from inspection.operations.blur import DiscBlur, LineBlur, SpinBlur, TiltedFocus
from inspection.operations.catalogue import find_operation
from inspection.operations.colour import ColourCast
from inspection.operations.dirt import Droplets, Dust, Hairs
from inspection.operations.exposure import Veil
from inspection.operations.geometry import Displacement, Keystone
from inspection.operations.hot_spot import Glint, HotSpot, WindowReflection
from inspection.operations.light import SideLight, Vignette
from inspection.operations.operation import Image
from inspection.operations.sensor import PhotonNoise, Posterising
from inspection.operations.shadow import ShadowBand, ShadowEdge
from inspection.operations.surface import BrushedGrain, Lines, Mottle, ObliqueStripes, Stripes
from tests.inspection.operations.trial_images import applied, constant, stark

OURS = [
    BrushedGrain(p=1.0),
    DiscBlur(p=1.0),
    Displacement((2.0, 9.0), (0.1, 0.2), p=1.0),
    Displacement((2.0, 9.0), (0.1, 0.2), (0.0, 40.0), p=1.0),
    Droplets(p=1.0),
    Dust(p=1.0),
    Glint(p=1.0),
    Hairs(p=1.0),
    HotSpot(p=1.0),
    Keystone(p=1.0),
    LineBlur(p=1.0),
    Lines(p=1.0),
    Mottle(p=1.0),
    ObliqueStripes(p=1.0),
    Posterising(p=1.0),
    ShadowBand(p=1.0),
    ShadowEdge(p=1.0),
    SideLight(30.0, p=1.0),
    SpinBlur(p=1.0),
    Stripes(p=1.0),
    TiltedFocus(p=1.0),
    Veil(p=1.0),
    Vignette(p=1.0),
    WindowReflection(p=1.0),
]


@pytest.mark.parametrize("transform", OURS, ids=lambda transform: type(transform).__name__)
@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 7), (5, 3), (33, 20)])
def test_all_channels_change_alike_at_any_size(transform: A.BasicTransform, height: int, width: int) -> None:
    image = stark(height, width)
    grey, _ = applied(transform, image)
    colour, _ = applied(transform, image.repeat(3, axis=2))
    assert grey.dtype == np.uint8
    assert grey.shape == image.shape
    assert np.array_equal(applied(transform, image[:, :, 0])[0], grey[:, :, 0])
    assert np.abs(colour - grey.astype(float)).max() <= 1  # OpenCV's filters round otherwise on 3 channels


@pytest.mark.parametrize(
    ("make", "arguments"),
    [
        (SideLight, {"angle": "above"}),
        (SideLight, {"stops_range": (2.0, 1.0)}),
        (HotSpot, {"gain_range": (-1.0, 1.0)}),
        (HotSpot, {"radius_range": (0.0, 0.2)}),
        (LineBlur, {"length_range": (-2.0, 1.0)}),
        (LineBlur, {"angle_range": (0.0, 400.0)}),
        (LineBlur, {"p": 2.0}),
        (ShadowEdge, {"softness_range": (-0.1, 0.1)}),
        (Vignette, {"stops_range": (-1.0, 1.0)}),
        (ColourCast, {"direction": (1.0, 0.0)}),
        (Displacement, {"shift_range": (0.2, 0.1)}),
        (PhotonNoise, {"deviation_range": (0.1, 1.1)}),
        (Lines, {"along": "diagonal"}),
        (Stripes, {"period_range": (0.0, 4.0)}),
        (Mottle, {"wavelength_range": (0.0, 4.0)}),
        (BrushedGrain, {"length_range": (-0.1, 0.1)}),
        (Dust, {"share_range": (0.5, 1.5)}),
        (Droplets, {"radius_range": (0.0, 0.1)}),
        (Glint, {"length_range": (0.0, 0.3)}),
        (WindowReflection, {"side_range": (0.3, 0.1)}),
        (ShadowBand, {"width_range": (0.0, 0.3)}),
        (SpinBlur, {"degrees_range": (-2.0, 2.0)}),
        (DiscBlur, {"radius_range": (-1.0, 2.0)}),
        (Displacement, {"fill_range": (0.0, 256.0)}),
        (Keystone, {"pull_range": (0.1, 0.5)}),
        (ObliqueStripes, {"angle_range": (0.0, 400.0)}),
        (Posterising, {"bits_range": (2.0, 9.0)}),
        (Hairs, {"width_range": (0.0, 0.1)}),
        (TiltedFocus, {"sigma_range": (-1.0, 2.0)}),
        (Veil, {"share_range": (0.1, 1.1)}),
    ],
)
def test_bad_arguments_are_refused(make: type, arguments: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(arguments))):
        make(**arguments)


def test_an_unknown_argument_warns_as_everywhere_in_albumentations() -> None:
    with pytest.warns(UserWarning, match="side"):
        SideLight(side="left")  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("strength", "image"),
    [
        (-0.1, constant(9)),
        (1.1, constant(9)),
        (math.nan, constant(9)),
        (0.5, constant(9, channels=2)),
        (0.5, constant(9).astype(np.float32)),
        (0.5, constant(9)[None]),
    ],
)
def test_what_it_cannot_do_is_refused(strength: float, image: Image) -> None:
    with pytest.raises(InspectionError, match="lower contrast"):
        find_operation("lower contrast").apply(image, strength, 0)


def test_an_infinite_strength_is_refused() -> None:
    with pytest.raises(InspectionError, match="inf stops"):
        find_operation("dimmer lamp").apply(constant(9), math.inf, 0)
