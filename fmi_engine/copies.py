"""Whether a picture is a copy of a real image: the highest normalised correlation with any part of any."""

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from fmi_engine.types import FloatArray

FINEST = 96  # pixels a side: larger images are compared at a coarser scale
LEAST = 12  # pixels: the side of a window at the scale at which it is compared
FLAT = 0.01  # of full scale; a window or a place whose contrast is less has nothing to be copied
TOGETHER = 64  # images compared at a time


class Copies:
    """Real images (n, height, width, channel), 8-bit, in which copies are looked for; grey counts."""

    def __init__(self, images: NDArray[np.uint8], side: int) -> None:
        self.side = side
        self._scale = max(1, min(side // LEAST, round(max(images.shape[1:3]) / FINEST)))
        grey = self._coarse(torch.from_numpy(images.mean(3, dtype=np.float32) / np.float32(255)))
        self._window = side // self._scale
        self._size = grey.shape[1] + self._window, grey.shape[2] + self._window
        self._parts = [self._prepared(part) for part in torch.split(grey, TOGETHER)]

    def _coarse(self, grey: Float[Tensor, "image height width"]) -> Tensor:
        return torch.nn.functional.avg_pool2d(grey, self._scale)

    def _prepared(self, grey: Float[Tensor, "image height width"]) -> tuple[Tensor, Tensor]:
        """The spectra of images, and one over the spread of their values in every window, 0 where flat."""
        squares = torch.stack([grey, grey.square()])
        pooled = torch.nn.functional.avg_pool2d(squares.double(), self._window, 1)
        variance = (pooled[1] - pooled[0].square()).clamp_min(0)
        inverse = torch.where(variance > FLAT**2, variance.clamp_min(1e-12).rsqrt(), 0.0)
        return torch.fft.rfft2(grey, s=self._size), inverse.float()

    def nearest(self, window: FloatArray, without: int | None = None) -> float:
        """The highest correlation, -1 to 1, of a window (height, width, channel) with any place of any image.

        `side` pixels each way, values in 0 to 1. `without` is an image that does not count. -1 where the
        window is flat.
        """
        (grey,) = self._coarse(torch.from_numpy(np.ascontiguousarray(window.mean(2), np.float32))[None])
        grey = grey[: self._window, : self._window]
        centred = grey - grey.mean()
        spread = float(centred.square().mean().sqrt())
        if spread <= FLAT:
            return -1.0
        pattern = torch.fft.rfft2(centred / spread, s=self._size).conj()
        highest = -1.0
        for start, (spectra, inverse) in zip(range(0, len(self), TOGETHER), self._parts, strict=True):
            found = torch.fft.irfft2(spectra * pattern, s=self._size)
            places = found[:, : inverse.shape[1], : inverse.shape[2]] * inverse / self._window**2
            if without is not None and start <= without < start + len(inverse):
                places[without - start] = -1.0
            highest = max(highest, float(places.max()))
        return min(highest, 1.0)

    def __len__(self) -> int:
        return sum(len(inverse) for _, inverse in self._parts)
