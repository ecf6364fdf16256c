"""Blame as findings, against patching by hand: one image at a time, one whole pass for every patch."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from fmi_engine.probe import find_layer
from fmi_engine.types import Screening
from inspection.evidence.blame import LayerProbe, probe_layers, screen, shortlist, verify
from inspection.evidence.case import Case
from inspection.evidence.reproduced import ReproducedErrors
from inspection.evidence.subject import Subject, open_subject
from inspection.inputs.labelled import sample
from tests.inspection.conftest import Plant

pytestmark = pytest.mark.numeric

STAGES = ("stage1", "stage2", "stage3")


def patched_logits(
    subject: Subject, layer: str, filters: Sequence[int], image: NDArray[np.uint8], true: int
) -> Tensor:
    """The logits of one image with some filters of a layer brought back to normal, map by map."""
    normal = subject.reference.layers[layer]
    with torch.no_grad():
        x = subject.classifier.prepare(image[None])
        for name, module in subject.classifier.network.named_children():
            x = module(x)
            if name == layer:
                x = x.clone()
                for c in filters:
                    energy, spread = x[0, c].mean(), x[0, c].std(correction=0)
                    layout = (x[0, c] - energy) / spread if spread > 1e-5 * abs(energy) else 0.0 * x[0, c]
                    x[0, c] = torch.relu(layout * normal.spread[true, c] + normal.energy[true, c])
    return x[0]


def flips_and_margins(
    subject: Subject, layer: str, filters: Sequence[int], errors: ReproducedErrors, few: Sequence[int]
) -> tuple[list[bool], list[float]]:
    """Whether each error turns right, and its margin against the class that was predicted."""
    names = subject.model.class_names
    flips, margins = [], []
    for i in few:
        logits = patched_logits(subject, layer, filters, errors.images[i : i + 1][0], int(errors.true[i]))
        flips.append(int(logits.argmax()) == errors.true[i])
        predicted = names.index(errors.errors[i].predicted_label)
        margins.append(float(logits[predicted] - logits[errors.true[i]]))
    return flips, margins


def top(values: NDArray[np.float32], count: int) -> list[int]:
    """The positions of the highest values, highest first."""
    return sorted(range(len(values)), key=lambda i: -float(values[i]))[:count]


def midway(
    subject: Subject, screening: Screening, layer: str, errors: ReproducedErrors, few: Sequence[int]
) -> NDArray[np.float32]:
    """Mean blame of every filter, its slope taken halfway to the code with all of them patched."""
    normal, found = subject.reference.layers[layer], []
    for i in few:
        true, predicted = int(errors.true[i]), int(screening.predicted[i])
        x = subject.classifier.prepare(errors.images[i : i + 1])
        change = code = x
        for name, module in subject.classifier.network.named_children():
            x = module(x)
            if name == layer:
                maps = x[0].detach()
                energy, spread = maps.mean((1, 2), keepdim=True), maps.std((1, 2), correction=0, keepdim=True)
                layout = torch.where(spread > 1e-5 * energy.abs(), (maps - energy) / spread, 0.0)
                wanted = [
                    torch.from_numpy(each[true])[:, None, None] for each in (normal.spread, normal.energy)
                ]
                change = maps - torch.relu(layout * wanted[0] + wanted[1])
                code = x = (maps - change / 2)[None].requires_grad_(True)
        (gradient,) = torch.autograd.grad(x[0, predicted] - x[0, true], code)
        found.append((change * gradient[0]).sum((1, 2)).numpy())
    return np.asarray(np.mean(found, axis=0), np.float32)


def halves(errors: ReproducedErrors, choosing: int) -> tuple[list[int], list[int]]:
    """The errors on which filters are chosen, and the others, on which flips are counted."""
    chosen = sample(len(errors.errors), choosing, 0).tolist()
    return chosen, [i for i in range(len(errors.errors)) if i not in chosen]


def shifts(subject: Subject, screening: Screening, layer: str) -> NDArray[np.float32]:
    normal = subject.reference.layers[layer]
    rows = [
        (energy - normal.energy[true]) / normal.sigma
        for energy, true in zip(screening.energy[layer], screening.true, strict=True)
    ]
    return np.asarray(np.mean(rows, axis=0), np.float32)


# --- the screen ---


def test_the_margins_of_the_screen_are_those_of_admission(
    screening: Screening, reproduced_errors: ReproducedErrors
) -> None:
    np.testing.assert_allclose(
        screening.margin, [error.margin for error in reproduced_errors.errors], rtol=1e-4
    )
    np.testing.assert_array_equal(screening.true, reproduced_errors.true)


@pytest.mark.parametrize("layer", STAGES)
def test_the_screen_is_the_first_order_change_of_the_margin(
    subject: Subject, screening: Screening, reproduced_errors: ReproducedErrors, layer: str
) -> None:
    """Blame is the slope of the margin along the way from the patched code to the code, filter by filter."""
    names = subject.model.class_names
    normal = subject.reference.layers[layer]
    for i in (0, len(reproduced_errors.errors) // 2):
        true, predicted = (
            int(reproduced_errors.true[i]),
            names.index(reproduced_errors.errors[i].predicted_label),
        )
        x = subject.classifier.prepare(reproduced_errors.images[i : i + 1])
        code = x
        for name, module in subject.classifier.network.named_children():
            x = module(x)
            if name == layer:
                code = x = x.detach().requires_grad_(True)
        (gradient,) = torch.autograd.grad(x[0, predicted] - x[0, true], code)
        for c in range(code.shape[1]):
            channel = code[0, c].detach()
            energy, spread = channel.mean(), channel.std(correction=0)
            layout = (channel - energy) / spread if spread > 1e-5 * abs(energy) else 0.0 * channel
            patched = torch.relu(layout * normal.spread[true, c] + normal.energy[true, c])
            expected = float(((channel - patched) * gradient[0, c]).sum())
            assert screening.blame[layer][i, c] == pytest.approx(expected, rel=1e-3, abs=1e-3)


def test_progress_counts_every_error(subject: Subject, reproduced_errors: ReproducedErrors) -> None:
    counted: list[int] = []
    screen(subject, reproduced_errors.images[:20], reproduced_errors.true[:20], counted.append)
    assert counted == [16, 4]  # batches of 16


def probe(case: Case, layer: str) -> LayerProbe:
    alone = replace(case.subject, layers=(find_layer(case.subject.layers, layer),))
    return probe_layers(replace(case, subject=alone))[0]


# --- verified exactly ---


@pytest.mark.parametrize(("layer", "channels", "k"), [("stage1", 8, 2), ("stage2", 16, 4), ("stage3", 16, 4)])
def test_flip_rates_against_patching_by_hand(
    lamp_case: Case, reproduced_errors: ReproducedErrors, layer: str, channels: int, k: int
) -> None:
    """K is a quarter of the layer here, as 20 filters would be more."""
    subject, screening = lamp_case.subject, lamp_case.screening
    found = verify(lamp_case, probe(lamp_case, layer))
    chosen, judged = halves(reproduced_errors, subject.settings.blame.choosing_errors)
    assert len(judged) > len(chosen) == subject.settings.blame.choosing_errors
    blamed = top(midway(subject, screening, layer, reproduced_errors, chosen), k)
    flips, margins = flips_and_margins(subject, layer, blamed, reproduced_errors, judged)
    assert (found.layer, found.k, found.channels) == (layer, k, channels)
    assert found.blame == pytest.approx(np.mean(flips))
    assert found.margin_fall == pytest.approx(float(np.mean(screening.margin[judged] - margins)), rel=1e-3)
    deviating = top(np.abs(shifts(subject, screening.subset(np.array(judged)), layer)), k)
    control, _ = flips_and_margins(subject, layer, deviating, reproduced_errors, judged)
    assert found.deviation == pytest.approx(np.mean(control))
    rng = np.random.default_rng(0)
    size, drawn = subject.settings.compute.batch_size, []
    for i in range(0, len(judged), size):  # three draws for every error, batch by batch
        rows = judged[i : i + size]
        draws = [[rng.choice(channels, k, replace=False).tolist() for _ in rows] for _ in range(3)]
        for row, *sets in zip(rows, *draws, strict=True):
            turned = [flips_and_margins(subject, layer, each, reproduced_errors, [row])[0] for each in sets]
            drawn.append(float(np.mean(turned)))
    assert found.random == pytest.approx(np.mean(drawn))
    bootstrapped = gains(flips, control, drawn)
    assert (found.gain_lower, found.gain_upper) == pytest.approx(bootstrapped, abs=1e-6)


def gains(flips: Sequence[bool], deviation: Sequence[bool], random: Sequence[float]) -> tuple[float, float]:
    """The interval of the gain over the better control, one resample after the other."""
    draws = np.random.default_rng(0).integers(0, len(flips), (100, len(flips)))
    differences = []
    for draw in draws.tolist():
        blame, *controls = (sum(values[i] for i in draw) / len(draw) for values in (flips, deviation, random))
        differences.append(blame - max(controls))
    lower, upper = np.quantile(differences, (0.025, 0.975))
    return float(lower), float(upper)


def test_collateral_is_the_share_of_correct_images_that_the_patch_breaks(
    lamp_case: Case, reproduced_errors: ReproducedErrors
) -> None:
    subject, screening = lamp_case.subject, lamp_case.screening
    harmless = sample(len(subject.correct), 20, 0)
    chosen, _ = halves(reproduced_errors, subject.settings.blame.choosing_errors)
    for layer, k in (("stage1", 2), ("stage2", 4)):
        blamed = top(midway(subject, screening, layer, reproduced_errors, chosen), k)
        broken = [
            int(
                patched_logits(
                    subject, layer, blamed, subject.correct.images[i], int(subject.correct.labels[i])
                ).argmax()
            )
            != subject.correct.labels[i]
            for i in harmless
        ]
        found = verify(lamp_case, probe(lamp_case, layer))
        assert found.collateral == pytest.approx(np.mean(broken))


def test_of_many_errors_a_sample_is_patched_and_none_on_which_the_filters_were_chosen(
    plant: Plant, lamp_case: Case, reproduced_errors: ReproducedErrors, tmp_path: Path
) -> None:
    changes = "blame.most_errors = 9\nblame.largest_share = 0.125"
    less = plant.copied(tmp_path / "less", changes)
    subject = open_subject(less.workspace, less.model, less.references)
    case, screening, counted = replace(lamp_case, subject=subject), lamp_case.screening, list[int]()
    found = verify(case, probe(case, "stage2"), counted.append)
    chosen, judged = halves(reproduced_errors, 12)
    few = [judged[i] for i in sample(len(judged), 9, 0)]
    blamed = top(midway(subject, screening, "stage2", reproduced_errors, chosen), 2)
    flips, margins = flips_and_margins(subject, "stage2", blamed, reproduced_errors, few)
    assert (found.k, sum(counted)) == (2, 9)
    assert not set(few) & set(chosen)
    assert found.blame == pytest.approx(np.mean(flips))
    assert found.margin_fall == pytest.approx(float(np.mean(screening.margin[few] - margins)), rel=1e-3)


def test_of_few_errors_all_are_patched(
    plant: Plant, lamp_case: Case, reproduced_errors: ReproducedErrors, tmp_path: Path
) -> None:
    """Where fewer would be left than the filters were chosen on, they are counted on all of them."""
    some = plant.copied(tmp_path / "some", "blame.choosing_errors = 12")
    subject = open_subject(some.workspace, some.model, some.references)
    few, counted = np.arange(23), list[int]()
    part = replace(lamp_case, subject=subject).part(few)
    found = verify(part, probe(part, "stage2"), counted.append)
    chosen = few[sample(23, 12, 0)].tolist()
    blamed = top(midway(subject, lamp_case.screening, "stage2", reproduced_errors, chosen), 4)
    flips, _ = flips_and_margins(subject, "stage2", blamed, reproduced_errors, few.tolist())
    assert sum(counted) == 23
    assert found.blame == pytest.approx(np.mean(flips))


# --- which layers, which filters ---


def test_the_probe_layers_are_those_that_flip_most_of_a_sample_beyond_the_control(
    lamp_case: Case, reproduced_errors: ReproducedErrors
) -> None:
    subject, screening = lamp_case.subject, lamp_case.screening
    few = sample(len(reproduced_errors.errors), 12, 0)
    scores = {}
    for layer, k in zip(STAGES, (2, 4, 4), strict=True):
        blamed = top(screening.blame[layer][few].mean(0), k)
        flips, margins = flips_and_margins(subject, layer, blamed, reproduced_errors, few.tolist())
        deviating = top(np.abs(shifts(subject, screening.subset(few), layer)), k)
        control, _ = flips_and_margins(subject, layer, deviating, reproduced_errors, few.tolist())
        scores[layer] = (np.mean(flips) - np.mean(control), float(np.mean(screening.margin[few] - margins)))
    expected = sorted(STAGES, key=lambda layer: scores[layer], reverse=True)[:2]
    found = probe_layers(lamp_case)
    assert [each.layer for each in found] == expected
    for each in found:
        blame = midway(subject, screening, each.layer, reproduced_errors, few.tolist())
        assert each.blame.mean(0) == pytest.approx(blame, rel=1e-3, abs=1e-4)


@pytest.mark.parametrize("layer", ["stage1", "stage2"])
def test_the_shortlist_names_the_most_blamed_filters_each_patched_alone(
    lamp_case: Case, reproduced_errors: ReproducedErrors, layer: str
) -> None:
    subject, screening = lamp_case.subject, lamp_case.screening
    found = shortlist(lamp_case, probe(lamp_case, layer))
    shift = shifts(subject, screening, layer)
    few = sample(len(reproduced_errors.errors), subject.settings.blame.choosing_errors, 0)
    blame = midway(subject, screening, layer, reproduced_errors, few.tolist())
    blamed = top(blame, 2)
    assert [(each.layer, each.channel, each.rank) for each in found] == [
        (layer, blamed[0], 1),
        (layer, blamed[1], 2),
    ]
    for each in found:
        _, margins = flips_and_margins(subject, layer, [each.channel], reproduced_errors, few.tolist())
        assert each.blame == pytest.approx(float(blame[each.channel]), rel=1e-3)
        assert each.energy_shift == pytest.approx(float(shift[each.channel]), rel=1e-4)
        assert each.margin_fall == pytest.approx(
            float(np.mean(screening.margin[few] - margins)), rel=1e-3, abs=1e-3
        )
        assert (each.primitives, each.patches) == ((), ())


def test_a_layer_with_few_filters_lists_them_all(plant: Plant, lamp_case: Case, tmp_path: Path) -> None:
    more = plant.copied(tmp_path / "more", "inversion.filters = 12")
    case = replace(lamp_case, subject=open_subject(more.workspace, more.model, more.references))
    few, many = (shortlist(case, probe(case, layer)) for layer in ("stage1", "stage2"))
    assert sorted(each.channel for each in few) == list(range(8))
    assert len(many) == 12


def test_a_single_error_is_blamed_too(lamp_case: Case, reproduced_errors: ReproducedErrors) -> None:
    subject = lamp_case.subject
    one = screen(subject, reproduced_errors.images[:1], reproduced_errors.true[:1])
    case = replace(lamp_case, screening=one, images=reproduced_errors.images[:1])
    assert len(probe_layers(case)) == 2
    found = verify(case, probe(case, "stage2"))
    chosen = top(midway(subject, one, "stage2", reproduced_errors, [0]), 4)
    flips, _ = flips_and_margins(subject, "stage2", chosen, reproduced_errors, [0])
    assert found.blame == float(flips[0])
    # Resampling one error always draws that one: the interval has no width.
    assert found.gain_lower == found.gain_upper == pytest.approx(found.blame - found.better_control)


def test_a_network_is_cut_once_for_a_subject_and_anew_for_a_copy_of_it(subject: Subject) -> None:
    assert subject.cut("stage2") is subject.cut("stage2")
    assert replace(subject, classifier=subject.classifier).cuts == {}
