"""Texture primitives as findings: inverted, tested, and drawn beside the real patches."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from math import nan
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from fmi_engine import patches as crops
from fmi_engine import trust
from fmi_engine.cache import PrimitiveCache
from fmi_engine.inversion import BATCH, Job, Run, invert, left_to_invert
from fmi_engine.jury import answers_of, parted, summon
from fmi_engine.natural import Examples
from fmi_engine.patches import Patch, cut_out
from fmi_engine.presets import Preset, find_preset
from fmi_engine.probe import find_layer, truncated
from fmi_engine.readability import windows
from fmi_engine.reference import Reference
from fmi_engine.types import AblationCheck, FilterRef, FloatArray, Inversion, Layer, Layout, Trust
from fmi_engine.wording import reasons
from inspection.evidence.case import Case
from inspection.evidence.layer_facts import check_ablation, find_peaks
from inspection.evidence.subject import Subject
from inspection.evidence.surface import learn_surfaces
from inspection.findings import BlamedFilter, Pattern, Primitive, night_of
from inspection.inputs.heat import heated
from inspection.inputs.images import write_image
from inspection.inputs.labelled import Labelled, evenly
from inspection.progress import Progress

SOURCE: Layout = "source"
CONTROLS: tuple[Layout, ...] = ("shuffled", "constant")  # that the trust test asks for


def invert_filters(
    case: Case, mode_id: str, filters: Sequence[BlamedFilter], progress: Progress = None
) -> tuple[BlamedFilter, ...]:
    """Invert the shortlisted filters from several sources, test the primitives, and find real patches.

    Each filter is drawn at work on the error that excites it most.
    """
    if not filters:
        return ()
    subject = case.subject
    layer, sources = find_layer(subject.layers, filters[0].layer), sources_of(subject)
    examples, channels = examples_of(subject, layer), [each.channel for each in filters]
    made = _invert(subject, _jobs(subject, filters), progress)
    trusts = trust_test(subject, layer, made, check_ablation(subject, layer))
    inversions = [each for each in made if each.layout == "source"]
    answers = answers_of(subject.classifier, layer, inversions)
    night_folder = subject.workspace.night_folder(night_of(mode_id))
    at_work = _draw_at_work(case, layer, filters, night_folder / f"at-work-{mode_id}")
    folder = night_folder / "primitives"
    source_pictures = [
        _write(subject, folder / f"source-{i}.png", image) for i, image in enumerate(sources.images)
    ]
    most = subject.settings.inversion.patches
    patches = cut_out(layer, channels, examples.images, most, examples.peaks[layer.name].of(channels))
    return tuple(
        replace(
            each,
            primitives=tuple(
                _primitive(subject, folder, inversion, verdict, source_pictures[inversion.source], answer)
                for inversion, verdict, answer in zip(inversions, trusts, answers, strict=True)
                if inversion.filter.channel == each.channel
            ),
            patches=_write_patches(subject, folder, patches[each.channel]),
            pattern=_pattern_of(subject, each.channel, inversions, trusts),
            excited=at_work[each.channel][0],
            answers=at_work[each.channel][1],
        )
        for each in filters
    )


def sources_of(subject: Subject) -> Labelled:
    """The real images that pictures start from."""
    return subject.correct.subset(evenly(subject.correct.labels, subject.settings.inversion.sources))


def _invert(
    subject: Subject, jobs: Sequence[Job], progress: Progress = None, anew: bool = False
) -> list[Inversion]:
    """The pictures of some jobs of one layer, those that are kept or new ones, which are kept."""
    run = Run(progress=progress, cache=PrimitiveCache(subject.workspace.primitive_cache), anew=anew)
    return invert(subject.classifier, jobs, *_given(subject, jobs[0].filter.layer), run)


def _given(subject: Subject, layer: str) -> tuple[NDArray[np.uint8], Preset, Reference | None, Examples]:
    """What all pictures of a layer are made from."""
    preset = find_preset(subject.settings.inversion.preset)
    examples = made_of(subject, find_layer(subject.layers, layer), preset)
    return sources_of(subject).images, preset, subject.reference, examples


def batches_left(subject: Subject, shortlists: Sequence[Sequence[BlamedFilter]]) -> list[list[Job]]:
    """The pictures that `invert_filters` would make for one failure mode after the other, by batch.

    A picture of a batch depends on the others in it, to the last digit: so these are made together.
    """
    planned, batches = set[Job](), list[list[Job]]()
    for filters in filter(None, shortlists):
        jobs = [job for job in _jobs(subject, filters) if job not in planned]
        planned.update(jobs)
        left = _left(subject, jobs) if jobs else []
        batches += [left[i : i + BATCH] for i in range(0, len(left), BATCH)]
    return batches


def _left(subject: Subject, jobs: Sequence[Job]) -> list[Job]:
    cache = PrimitiveCache(subject.workspace.primitive_cache)
    return left_to_invert(subject.classifier, jobs, *_given(subject, jobs[0].filter.layer), cache)


def invert_batch(subject: Subject, jobs: Sequence[Job]) -> None:
    """Make the pictures of one of the batches that are left, as a helper, and keep them."""
    _invert(subject, jobs, anew=True)


def _pattern_of(
    subject: Subject, channel: int, inversions: Sequence[Inversion], trusts: Sequence[Trust]
) -> Pattern | None:
    """The pattern of the first trusted primitive of a filter."""
    for inversion, verdict in zip(inversions, trusts, strict=True):
        if inversion.filter.channel == channel and verdict.trusted:
            return pattern_of(inversion.image, subject.settings.reference.mm_per_pixel)
    return None


def pattern_of(image: FloatArray, mm_per_pixel: float = 0.0) -> Pattern:
    """The pattern of a picture (channel, height, width) in 0 to 1."""
    from fmi_engine.descriptors import FLAT, measure_texture  # all of SciPy: where a primitive is trusted

    texture, grey = measure_texture(image), image.mean(0).ravel().astype(np.float64)
    spread = float(grey.std())
    scaled = (grey - grey.mean()) / max(spread, FLAT)
    return Pattern(
        texture.wavelength,
        (texture.orientation + 90) % 180,
        texture.orientation_strength,
        texture.regularity,
        nan if spread < FLAT else float((scaled**3).mean()),
        nan if spread < FLAT else float((scaled**4).mean()),
        mm_per_pixel,
    )


def _draw_at_work(
    case: Case, layer: Layer, filters: Sequence[BlamedFilter], folder: Path
) -> dict[int, tuple[str, str]]:
    """For each filter the error that excites it most, and where it answers it, as pictures on disk."""
    subject, images = case.subject, case.images[case.examined]
    channels = [each.channel for each in filters]
    peaks = crops.find_peaks(subject.classifier, layer, channels, images, subject.settings.compute.batch_size)
    strongest = peaks.values.argmax(0)
    with torch.no_grad(), truncated(subject.classifier.network, layer.name) as code:
        maps = code(subject.classifier.prepare(images[strongest])).cpu().numpy()
    drawn = {}
    for i, channel in enumerate(channels):
        image, answer = images[strongest[i]], np.maximum(maps[i, channel], 0)
        name = f"{layer.name}-{channel}"
        drawn[channel] = (
            _write(subject, folder / f"{name}-error.png", image),
            _write(subject, folder / f"{name}-answers.png", heated(image, answer, float(answer.max()))),
        )
    return drawn


def count_pictures(subject: Subject, filters: Sequence[BlamedFilter]) -> int:
    """How many pictures inverting these filters takes, the controls of the trust test among them."""
    return len(filters) * (subject.settings.inversion.sources + len(CONTROLS))


def _jobs(subject: Subject, filters: Sequence[BlamedFilter]) -> list[Job]:
    """Every filter from every source, and from a shuffled and a constant map of the first."""
    sources = len(sources_of(subject))
    return [
        Job(FilterRef(each.layer, each.channel), source, _job_seed(subject, each.channel, source), layout)
        for each in filters
        for source, layout in [*((i, SOURCE) for i in range(sources)), *((0, each) for each in CONTROLS)]
    ]


def examples_of(subject: Subject, layer: Layer) -> Examples:
    """The real images whose crops excite the filters of a layer; pictures are made of every second one."""
    return Examples(subject.correct.images, {layer.name: find_peaks(subject, layer)})


def made_of(subject: Subject, layer: Layer, preset: Preset) -> Examples:
    """Those that pictures are made of, with what was learnt of them where the preset asks for it."""
    return replace(parted(examples_of(subject, layer))[0], denoiser=learn_surfaces(subject, preset))


def trust_test(
    subject: Subject, layer: Layer, made: Sequence[Inversion], ablation: AblationCheck
) -> list[Trust]:
    """Test the primitives of a layer by the settings, whose controls are among the inversions.

    They are judged by the reference images of which they were not made.
    """
    asked = subject.settings.inversion
    rules = trust.TrustRules(asked.top_share, asked.agreement)
    batch_size = subject.settings.compute.batch_size
    live = np.flatnonzero(subject.reference.layers[layer.name].live).tolist()
    channels = [*dict.fromkeys(each.filter.channel for each in made)]
    jury = summon(subject.classifier, layer, channels, live, examples_of(subject, layer))
    return trust.trust_test(subject.classifier, subject.reference, made, rules, ablation, jury, batch_size)


def _job_seed(subject: Subject, channel: int, source: int) -> int:
    text = f"{subject.settings.compute.seed}/{channel}/{source}".encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:4], "big")


def _primitive(
    subject: Subject,
    folder: Path,
    inversion: Inversion,
    verdict: Trust,
    source_picture: str,
    answer: FloatArray,
) -> Primitive:
    name = f"{inversion.filter.layer}-{inversion.filter.channel}-{inversion.source}"
    picture = stretched(inversion.image)
    side = crops.side_of(picture, find_layer(subject.layers, inversion.filter.layer))
    (close, *_) = windows(picture.transpose(2, 0, 1), side, answer)
    return Primitive(
        picture=_write(subject, folder / f"{name}.png", picture),
        close=_write(subject, folder / f"{name}-close.png", np.ascontiguousarray(close)),
        source_picture=source_picture,
        seed=inversion.seed,
        residual=verdict.residual,
        rank=verdict.rank,
        energy=verdict.energy,
        agreement=verdict.agreement,
        trusted=verdict.trusted,
        failed=reasons(verdict),
        layout=verdict.layout,
        readable=verdict.readable.auroc if verdict.readable else None,
        readable_ceiling=verdict.readable.ceiling if verdict.readable else None,
        copy=verdict.copy,
    )


def stretched(image: NDArray[np.float32]) -> NDArray[np.uint8]:
    """A primitive (channel, height, width) as an 8-bit picture (height, width, channel) with full contrast.

    The 1st and 99th percentile become black and white: what a filter sees is a pattern, and its contrast
    depends on the descent. The trust test uses the picture as inverted.
    """
    low, high = np.percentile(image, (1, 99))
    scaled = np.clip((image - low) / max(float(high - low), 1e-6), 0, 1)
    return np.ascontiguousarray(np.round(scaled.transpose(1, 2, 0) * 255).astype(np.uint8))


def _write_patches(subject: Subject, folder: Path, patches: Sequence[Patch]) -> tuple[str, ...]:
    return tuple(
        _write(subject, folder / f"{each.filter.layer}-{each.filter.channel}-patch-{i}.png", each.pixels)
        for i, each in enumerate(patches)
    )


def _write(subject: Subject, path: Path, image: NDArray[np.uint8]) -> str:
    write_image(path, image)
    return subject.workspace.relative(path)
