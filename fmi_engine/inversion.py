"""The descent: find the images whose code is the one asked for, many filters and sources at once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from fmi_engine.classifier import Classifier
from fmi_engine.energy import isolate
from fmi_engine.parametrization import PARAMETRIZATIONS
from fmi_engine.priors import total_variation
from fmi_engine.probe import truncated
from fmi_engine.types import FilterRef, Inversion

Progress = Callable[[int], None] | None


@dataclass(frozen=True, slots=True)
class Preset:
    """How a descent runs.

    No jitter: the target keeps the layout of its source, and a picture rolled under a fixed target pays
    for the misplacement instead of growing the texture.
    """

    parametrization: str  # pixels or spectrum
    steps: int
    learning_rate: float  # of Adam
    total_variation: float  # weight of the prior
    contrast: float  # of the starting noise, standard deviation of values in 0 to 1


PRESETS = {
    "default": Preset("pixels", steps=64, learning_rate=0.1, total_variation=10.0, contrast=0.02),
}


@dataclass(frozen=True, slots=True)
class Job:
    """One inversion to do: a filter, a source image (by position) and a seed."""

    filter: FilterRef
    source: int
    seed: int


def invert(
    classifier: Classifier,
    jobs: Sequence[Job],
    sources: NDArray[np.uint8],
    preset: Preset = PRESETS["default"],
    batch_size: int = 16,
    progress: Progress = None,
) -> list[Inversion]:
    """Isolate each job's filter in the code of its source image and find the image with that code.

    Minimises ||code(x) - F*||^2 / ||F*||^2 plus priors for every job by itself; only the layers up to
    the target run. `sources` is (images, height, width, channel), 8-bit. The same job gives the same
    picture whatever batch it runs in. `progress` receives the number of pictures done.
    """
    done: dict[Job, Inversion] = {}
    for layer in dict.fromkeys(job.filter.layer for job in jobs):
        mine = [job for job in jobs if job.filter.layer == layer]
        for i in range(0, len(mine), batch_size):
            batch = mine[i : i + batch_size]
            done |= zip(batch, _invert_batch(classifier, layer, batch, sources, preset), strict=True)
            if progress:
                progress(len(batch))
    return [done[job] for job in jobs]


def _invert_batch(
    classifier: Classifier, layer: str, jobs: Sequence[Job], sources: NDArray[np.uint8], preset: Preset
) -> list[Inversion]:
    with truncated(classifier.network, layer) as code:
        with torch.no_grad():
            source_code = code(classifier.prepare(sources[[job.source for job in jobs]]))
            target = isolate(source_code, [job.filter.channel for job in jobs])
        picture = _descend(classifier, code, target, jobs, preset)
        with torch.no_grad():
            residual = _residual(code(classifier.preprocessing.normalise(picture)), target)
    return [
        Inversion(job.filter, job.source, job.seed, picture[i].cpu().numpy(), float(residual[i]))
        for i, job in enumerate(jobs)
    ]


def _descend(
    classifier: Classifier,
    code: Callable[[Tensor], Tensor],
    target: Tensor,
    jobs: Sequence[Job],
    preset: Preset,
) -> Float[Tensor, "batch channel height width"]:
    written = PARAMETRIZATIONS[preset.parametrization](_start(classifier, jobs, preset.contrast))
    optimiser = torch.optim.Adam(written.parameters, preset.learning_rate)
    for _ in range(preset.steps):
        picture = written.picture()
        loss = _residual(
            code(classifier.preprocessing.normalise(picture)), target
        ) + preset.total_variation * total_variation(picture)
        optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss.sum())  # each picture's loss stands alone, so the sum mixes nothing
        optimiser.step()
    return written.picture().detach()


def _residual(code: Tensor, target: Tensor) -> Float[Tensor, " batch"]:
    return (code - target).square().sum((1, 2, 3)) / target.square().sum((1, 2, 3)).clamp_min(1e-12)


def _start(
    classifier: Classifier, jobs: Sequence[Job], contrast: float
) -> Float[Tensor, "batch channel height width"]:
    p = classifier.preprocessing
    noise = [
        torch.randn(p.channels, p.height, p.width, generator=torch.Generator().manual_seed(job.seed))
        for job in jobs
    ]
    return 0.5 + contrast * torch.stack(noise).to(classifier.device)
