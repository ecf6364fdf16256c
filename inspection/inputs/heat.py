"""What lies where on an image, laid over it in red."""

import cv2
import numpy as np
from numpy.typing import NDArray

from fmi_engine.types import FloatArray

RED = np.array([214, 39, 40], np.float32)
NOTHING = 1e-12  # in place of a division by 0


def heated(image: NDArray[np.uint8], values: FloatArray, most: float) -> NDArray[np.uint8]:
    """An image (height, width, channel), grey, with values laid over it in red: (height, width, 3).

    `values` (rows, columns) are 0 or more, and `most` is drawn in full.
    """
    height, width = image.shape[:2]
    shares = cv2.resize(values / max(most, NOTHING), (width, height), interpolation=cv2.INTER_LINEAR)
    opaque = np.clip(shares, 0, 1)[:, :, None]
    grey = np.repeat(image.mean(2, keepdims=True), 3, axis=2)
    return np.asarray(np.rint((1 - opaque) * grey + opaque * RED), np.uint8)
