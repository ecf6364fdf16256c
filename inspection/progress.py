"""Progress of long work: a callback that is given how many more images or steps are done."""

from collections.abc import Callable

Progress = Callable[[int], None] | None
