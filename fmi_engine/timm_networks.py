"""Networks of timm by name, untrained: nothing is downloaded."""

import difflib

from torch import nn

from fmi_engine.errors import ClassifierError, first_line
from fmi_engine.vision import torchvision

TIMM = "timm:"  # before the name of one of its networks
NEAR = 5  # names that an error offers


def from_timm(architecture: str, classes: int, channels: int) -> nn.Module:
    """Make an untrained network of `timm:NAME`. Raises ClassifierError naming those that are nearest."""
    torchvision()  # first, in a way that works beside every build of torch
    try:
        import timm
    except ImportError as error:
        raise ClassifierError(
            f"{architecture}: timm cannot be imported ({first_line(error)}). Install it with "
            "`pip install 'fmi[timm]'`"
        ) from None
    name = architecture.removeprefix(TIMM)
    if not timm.is_model(name.partition(".")[0]):
        near = difflib.get_close_matches(name, timm.list_models(), NEAR, 0.5)
        raise ClassifierError(
            f"no architecture {name!r} in timm {timm.__version__}; "
            + (f"the nearest are {', '.join(near)}" if near else "timm.list_models() lists them")
        )
    try:
        network: nn.Module = timm.create_model(name, pretrained=False, num_classes=classes, in_chans=channels)
    except Exception as error:  # of some networks not every number of channels or classes can be had
        raise ClassifierError(
            f"timm.create_model({name!r}, num_classes={classes}, in_chans={channels}) failed: "
            f"{type(error).__name__}: {first_line(error)}"
        ) from None
    return network
