"""Training and targeted fine-tuning, with a teacher where there is one."""

import hashlib
import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import albumentations as A
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import DataLoader, Dataset

from fmi_engine.classifier import Classifier, Preprocessing, choose_device, freeze
from fmi_engine.decision import decide, log_answer, log_likelihood
from fmi_engine.decision_rule import DecisionRule
from inspection.inputs.labelled import Labelled
from inspection.progress import Progress
from inspection.recipes.recipe import sample_generators
from inspection.workspace.files import replacing, temporary_name
from inspection.workspace.settings import Settings

DIGITS = 12  # of a hash, hexadecimal, that tell an unfinished training
TEMPERATURE = 4.0  # of a teacher's answers: what it thinks of the other classes counts, too
LARGEST_LOGIT = DecisionRule.plain(())  # whatever the classes are called
Augmentation = Callable[[NDArray[np.uint8], int, int], NDArray[np.uint8]]  # image, epoch, index -> image


def mixed(train: Labelled, logged: Labelled, share: float, seed: int) -> Labelled:
    """The training images with a share of them replaced by logged ones, which are repeated to fill it.

    A log is lopsided, and a model must not learn that parts under a new light are of the class that most
    errors have: each class of the logged images fills as much of the share. A logged image takes the place
    of one of its own class, and at most half of a class is replaced. The number of images of each class, and
    so of steps, stays what it was.
    """
    taken = round(share * len(train))
    if not len(logged) or not taken:
        return train
    rng = np.random.default_rng(seed)
    repeated = _evenly_drawn(logged.labels, taken, rng)
    kept, joining = np.ones(len(train), bool), []
    for label in np.unique(logged.labels):
        mine = repeated[logged.labels[repeated] == label]
        places = rng.permutation(np.flatnonzero(train.labels == label))[: len(mine)]
        places = places[: (np.count_nonzero(train.labels == label) + 1) // 2]
        kept[places] = False
        joining.append(mine[: len(places)])
    joined = np.concatenate(joining)
    return Labelled(
        np.concatenate([train.images[kept], logged.images[joined]]),
        np.concatenate([train.labels[kept], logged.labels[joined]]),
    )


def _evenly_drawn(labels: NDArray[np.int64], count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """So many rows, of every class as many, each row of a class as often as the others."""
    classes = rng.permutation(np.unique(labels))
    quotas = [len(each) for each in np.array_split(np.arange(count), len(classes))]
    drawn = [
        np.resize(rng.permutation(np.flatnonzero(labels == label)), quota)
        for label, quota in zip(classes, quotas, strict=True)
    ]
    return rng.permutation(np.concatenate(drawn))


def plain_augmentation(seed: int) -> Augmentation:
    """Flips and small shifts: what every training here applies, reproducible per sample."""
    transform = A.Compose(
        [
            A.HorizontalFlip(p=0.5),
            A.VerticalFlip(p=0.5),
            A.Affine(translate_percent=(-0.04, 0.04), border_mode=2, p=0.5),  # cv2.BORDER_REFLECT
        ]
    )

    def augment(image: NDArray[np.uint8], epoch: int, index: int) -> NDArray[np.uint8]:
        transform.set_random_state(*sample_generators(seed, epoch, index))
        changed: NDArray[np.uint8] = transform(image=image)["image"]
        return changed

    return augment


def mixed_precision(device: torch.device) -> AbstractContextManager[None]:
    """Half of the bits where a GPU computes with them (bfloat16, which needs no scaling); else as it is."""
    if device.type != "cuda" or not torch.cuda.is_bf16_supported():
        return nullcontext()
    autocast: AbstractContextManager[None] = torch.autocast("cuda", torch.bfloat16)
    return autocast


@dataclass(frozen=True, slots=True)
class Teacher:
    """A frozen network whose answers on unchanged images a network keeps while it learns the changed ones.

    Hinton, Vinyals, Dean, Distilling the Knowledge in a Neural Network, arXiv 1503.02531; against forgetting:
    Li and Hoiem, Learning without Forgetting, arXiv 1606.09282.
    """

    network: nn.Module
    weight: float  # beside the cross entropy of the labels

    def losses(
        self,
        logits: torch.Tensor,
        x: torch.Tensor,
        rows: torch.Tensor,
        labels: torch.Tensor,
        rule: DecisionRule = LARGEST_LOGIT,
    ) -> torch.Tensor:
        """T^2 KL(teacher || network) at temperature T, where the teacher is right: its errors are unlearned.

        `x` are the images (n, channel, height, width) as they are; `rows` says which of them each row of
        `logits` and `labels` comes from, changed or not; by `rule` the teacher is right or wrong.
        """
        with torch.no_grad():
            with mixed_precision(x.device):
                taught = self.network(x).float()[rows]
            known = (decide(rule, taught).argmax(1) == labels).to(logits.dtype)
        apart = nn.functional.kl_div(
            log_answer(rule, logits / TEMPERATURE),
            log_answer(rule, taught / TEMPERATURE),
            reduction="none",
            log_target=True,
        ).sum(1)
        losses: torch.Tensor = self.weight * TEMPERATURE**2 * known * apart
        return losses


@dataclass(frozen=True, slots=True)
class Training:
    """How a network is trained: for how long, how fast, and what it is shown."""

    epochs: int
    learning_rate: float  # at the top of its one cycle
    weight_decay: float  # of AdamW
    batch_size: int  # images of a step
    seed: int
    device: torch.device
    augmentations: tuple[Augmentation, ...] = ()  # of every image, one after the other
    changes: tuple[Augmentation, ...] = ()  # images that they touch are shown once more, changed
    unchanged_weight: float = 1.0  # what an unchanged image counts beside a changed one
    teacher: Teacher | None = None  # sees the unchanged images only
    rule: DecisionRule = LARGEST_LOGIT  # by which it will decide: its classes are the labels

    @classmethod
    def first(cls, settings: Settings, epochs: int) -> "Training":
        """Of a network that knows nothing yet."""
        chosen, seed = settings.training, settings.compute.seed
        return cls(
            epochs=epochs,
            learning_rate=chosen.learning_rate,
            weight_decay=chosen.weight_decay,
            batch_size=chosen.batch_size,
            seed=seed,
            device=choose_device(settings.compute.device),
            augmentations=(plain_augmentation(seed),),
        )

    @classmethod
    def fine_tuning(
        cls, settings: Settings, epochs: int, deployed: Classifier, changes: Sequence[Augmentation]
    ) -> "Training":
        """Of a copy of the deployed model, which teaches it, on images with and without the changes."""
        chosen, seed = settings.training, settings.compute.seed
        return cls(
            epochs=epochs,
            learning_rate=chosen.fine_tune_learning_rate,
            weight_decay=chosen.weight_decay,
            batch_size=chosen.batch_size,
            seed=seed,
            device=deployed.device,
            augmentations=(plain_augmentation(seed),),  # first: it turns the part, not the light
            changes=tuple(changes),
            unchanged_weight=chosen.unchanged_weight,
            teacher=Teacher(deployed.network, chosen.teacher_weight),
            rule=deployed.decision,
        )


def fit(
    network: nn.Module,
    preprocessing: Preprocessing,
    data: Labelled,
    training: Training,
    progress: Progress = None,
    unfinished: Path | None = None,
) -> nn.Module:
    """Train a network in place with AdamW and one learning-rate cycle; returns it frozen.

    It learns how likely each class is, whatever the thresholds of its rule: these say what an error costs,
    and a training that aimed at them would train that away.

    After every epoch the file `unfinished` holds where the training stands: one that ends on the way goes on
    there, to the same network. Whoever has kept the network removes it (`forget_unfinished`).

    In every step the network sees a batch of images, augmented, and those of them that the changes touched
    once more, changed: learnt in place of the unchanged ones they would cost accuracy on unchanged images.
    `progress` receives the number of images after every step.
    """
    torch.manual_seed(training.seed)
    network = network.to(training.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    network = network.requires_grad_(True).train()
    samples = _Samples(data, training)
    loader: DataLoader[_Batch] = DataLoader(
        samples,  # type: ignore[arg-type]
        training.batch_size,
        shuffle=True,
        drop_last=len(data) > training.batch_size,  # a last batch of one would break batch normalisation
        collate_fn=_collate,
        generator=samples.order,
    )
    optimiser = torch.optim.AdamW(
        network.parameters(), training.learning_rate, weight_decay=training.weight_decay
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, training.learning_rate, total_steps=max(6, training.epochs * len(loader)), pct_start=0.2
    )
    standing = _Standing(network, optimiser, schedule, samples.order)
    begun = standing.read(unfinished) if unfinished else 0
    if progress and begun:
        progress(begun * len(data))
    for epoch in range(begun, training.epochs):
        samples.epoch = epoch
        for batch in loader:
            optimiser.zero_grad(set_to_none=True)
            torch.autograd.backward(_loss(network, preprocessing, batch, training))
            optimiser.step()
            schedule.step()
            if progress:
                progress(len(batch.images))
        if unfinished:
            standing.write(unfinished, epoch + 1)
    return freeze(network)


def unfinished_training(
    folder: Path, name: str, data: Labelled, training: Training, made_of: Sequence[str]
) -> Path:
    """The file that holds an unfinished training `name`; those of another training of that name are removed.

    It is the same training where the images, the settings and `made_of` (hashes of the rest) are the same.
    """
    plain = [training.epochs, training.learning_rate, training.weight_decay, training.batch_size]
    plain += [training.seed, training.unchanged_weight]
    plain += [training.teacher.weight] if training.teacher else []
    text = json.dumps([plain, str(training.device), torch.__version__, *made_of])
    source = Path(__file__).read_bytes()
    path = folder / f"{name}-{hashlib.sha256(text.encode() + source + data.digest).hexdigest()[:DIGITS]}.pt"
    forget_unfinished(folder, name, but=path)
    return path


def forget_unfinished(folder: Path, name: str, but: Path | None = None) -> None:
    """Remove where the trainings of a name stand, all or `but` one, and what was half written when killed."""
    file = f"{name}-{'[0-9a-f]' * DIGITS}.pt"
    for path in (*folder.glob(file), *folder.glob(temporary_name(file))):
        if path != but:
            path.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class _Standing:
    """All that changes while a network is trained."""

    network: nn.Module
    optimiser: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler
    order: torch.Generator  # of the images

    def write(self, path: Path, epochs: int) -> None:
        """Keep where the training stands after some epochs."""
        held = {
            "epochs": epochs,
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "schedule": self.schedule.state_dict(),
            "order": self.order.get_state(),
            "draws": torch.get_rng_state(),
            "draws of the device": self._device_draws(),
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path, durable=False) as partial:
            torch.save(held, partial)

    def read(self, path: Path) -> int:
        """Take up a training that was kept: how many epochs are done; 0 where none can be read."""
        try:
            held = torch.load(path, weights_only=True)
        except Exception:  # damaged bytes make the unpickler raise nearly anything: then it begins anew
            return 0
        self.network.load_state_dict(held["network"])
        self.optimiser.load_state_dict(held["optimiser"])
        self.schedule.load_state_dict(held["schedule"])
        self.order.set_state(held["order"])
        torch.set_rng_state(held["draws"])
        if held["draws of the device"] is not None:
            torch.cuda.set_rng_state(held["draws of the device"], self._device())
        return int(held["epochs"])

    def _device(self) -> torch.device:
        return next(self.network.parameters()).device

    def _device_draws(self) -> torch.Tensor | None:
        return torch.cuda.get_rng_state(self._device()) if self._device().type == "cuda" else None


@dataclass(frozen=True, slots=True)
class _Batch:
    """Images as they are, and those that a change touched once more, as it left them."""

    images: NDArray[np.uint8]  # (n, height, width, channel)
    changed: NDArray[np.uint8]  # (m, height, width, channel)
    rows: torch.Tensor  # (n + m,): the image that each of both, one after the other, comes from
    labels: torch.Tensor  # (n + m,)

    def weights(self, unchanged_weight: float) -> torch.Tensor:
        """What each of the n + m counts: an image as it is `unchanged_weight` times a changed one; sum 1."""
        weights = torch.ones(len(self.rows))
        weights[: len(self.images)] = unchanged_weight
        return weights / weights.sum()


_Sample = tuple[NDArray[np.uint8], NDArray[np.uint8], int]  # an image, the same changed, its label


class _Samples(Dataset[_Sample]):
    def __init__(self, data: Labelled, training: Training) -> None:
        self.data = data
        self.training = training
        self.epoch = 0
        self.order = torch.Generator().manual_seed(training.seed)

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> _Sample:
        image = self.data.images[index]
        for augment in self.training.augmentations:
            image = augment(image, self.epoch, index)
        changed = image
        for change in self.training.changes:
            changed = change(changed, self.epoch, index)
        return image, changed, int(self.data.labels[index])


def _collate(samples: list[_Sample]) -> _Batch:
    images, changed, labels = zip(*samples, strict=True)
    touched = [
        i for i, (before, after) in enumerate(zip(images, changed, strict=True)) if (before != after).any()
    ]
    rows = torch.tensor([*range(len(samples)), *touched])
    both = np.stack(images), np.stack(changed)[touched]
    return _Batch(*both, rows, torch.tensor(labels)[rows])


def _loss(
    network: nn.Module, preprocessing: Preprocessing, batch: _Batch, training: Training
) -> torch.Tensor:
    """The weighted mean of what a batch costs by its labels and, where there is one, by its teacher."""
    x = preprocessing(np.concatenate([batch.images, batch.changed]))
    x = x.to(training.device, memory_format=torch.channels_last)
    rows, y = batch.rows.to(training.device), batch.labels.to(training.device)
    with mixed_precision(training.device):
        logits = network(x).float()
    losses = nn.functional.nll_loss(log_likelihood(training.rule, logits), y, reduction="none")
    if training.teacher is not None and training.teacher.weight:
        losses = losses + training.teacher.losses(logits, x[: len(batch.images)], rows, y, training.rule)
    return losses @ batch.weights(training.unchanged_weight).to(training.device)
