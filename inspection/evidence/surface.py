"""What a plant's surfaces look like: a denoiser that learns it once from the reference images."""

from fmi_engine.denoiser import Denoiser, learn_denoiser, weights_of, with_weights
from fmi_engine.jury import parted
from fmi_engine.natural import Examples
from fmi_engine.presets import Preset
from inspection.evidence.kept import Arrays, kept
from inspection.evidence.subject import Subject
from inspection.progress import Progress
from inspection.provenance import measured_by

MEASURING = ("fmi_engine.denoiser", "fmi_engine.jury", "inspection.evidence.surface")


def steps_of(subject: Subject, preset: Preset) -> int:
    """How many steps the learning takes; 0 where the preset or the settings do without."""
    return subject.settings.inversion.denoiser_steps if preset.learnt else 0


def learn_surfaces(subject: Subject, preset: Preset, progress: Progress = None) -> Denoiser | None:
    """Learn what the reference images look like, or read what was learnt; None where it is done without.

    Learnt of the images that primitives are made of: those that judge them are left out. `progress` receives
    1 after every step.
    """
    steps, compute = steps_of(subject, preset), subject.settings.compute
    if not steps:
        return None
    images = parted(Examples(subject.correct.images, {}))[0].images

    def measure() -> Arrays:
        return weights_of(learn_denoiser(images, steps, subject.classifier.device, compute.seed, progress))

    return with_weights(kept(subject, "denoiser", [measured_by(*MEASURING), steps, compute.seed], measure))
