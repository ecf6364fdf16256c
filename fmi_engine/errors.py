"""What the engine says when it is given something it cannot use."""

from collections.abc import Sequence

NAMED = 5  # of many things, that a message names one by one


class EngineError(Exception):
    """Base of the engine's errors: says what was given, what was expected and what exists."""


class UnknownLayerError(EngineError):
    """A layer name, or a channel, that the network does not have."""


class ClassifierError(EngineError):
    """A network, checkpoint or preprocessing that does not fit together."""


class TooFewReferencesError(EngineError):
    """Too few correctly classified reference images to say what is normal."""


class TextureError(EngineError):
    """A picture whose texture cannot be measured."""


def first_line(error: BaseException) -> str:
    """The first line of what an exception says, or its kind where it says nothing."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def some(names: Sequence[object]) -> str:
    """The first of many names, by comma, and how many more there are."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(map(str, names[:NAMED])) + more
