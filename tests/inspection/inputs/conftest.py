from pathlib import Path

import numpy as np
import pytest

from inspection.inputs.images import write_image


@pytest.fixture
def plant(tmp_path: Path) -> Path:
    """A folder with nine different images, 1.png to 9.png."""
    for number in range(1, 10):
        write_image(tmp_path / f"{number}.png", np.full((4, 4, 3), number, np.uint8))
    return tmp_path
