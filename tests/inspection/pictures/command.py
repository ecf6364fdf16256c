"""`fmi invert` and `fmi style` as the tests call them, and how they read the answers."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.conftest import Answer
from tests.inspection.conftest import SIZE, Plant

Fmi = Callable[..., Answer]
TINY = "tests.inspection.tiny_network:tiny_network"


@contextmanager
def silent(_name: str, _total: int | None) -> Iterator[Callable[[int], None]]:
    yield lambda _count: None


def described(site: Plant) -> tuple[object, ...]:
    """The plant's model for those who have no workspace."""
    model = site.model
    return (
        *("--architecture", TINY, "--checkpoint", site.workspace.root / model.weights_path),
        *("--classes", ",".join(model.class_names), "--input-size", SIZE, "--channels", 1),
        *("--mean", model.mean[0], "--std", model.std[0], "--device", "cpu"),
    )


def sources(images: Sequence[Path]) -> tuple[object, ...]:
    return tuple(part for image in images for part in ("--image", image))


def told(answer: Answer) -> dict[str, Any]:
    assert (answer.returncode, answer.stderr) == (0, "")
    found: dict[str, Any] = json.loads(answer.stdout)
    return found


def refused(answer: Answer, *words: str) -> None:
    assert answer.returncode == 2, answer.stderr
    assert answer.stderr.startswith("fmi: ")
    assert "Traceback" not in answer.stdout + answer.stderr
    assert [word for word in words if word not in answer.stderr] == []


def three_times(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A grey picture (32, 32, 1) as the sheet shows it: RGB, 96 x 96."""
    return np.repeat(picture.repeat(3, 0).repeat(3, 1), 3, axis=2)
