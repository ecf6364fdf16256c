"""The denoiser: it learns what it is shown, and draws pictures there."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from fmi_engine import denoiser as module
from fmi_engine.denoiser import (
    EVERY,
    HIGHEST,
    LOWEST,
    Denoiser,
    Pull,
    learn_denoiser,
    weights_of,
    with_weights,
)

CPU = torch.device("cpu")


def stripes(count: int, side: int, seed: int) -> NDArray[np.uint8]:
    """Dark and bright bands across, 4 pixels each, from any start."""
    starts = np.random.default_rng(seed).integers(8, size=count)
    rows = (np.arange(side)[None] + starts[:, None]) // 4 % 2
    return np.repeat((64 + 128 * rows)[:, :, None, None], side, axis=2).astype(np.uint8)


@pytest.fixture(scope="module")
def learnt() -> Denoiser:
    return learn_denoiser(stripes(20, 16, 0), 60)


def as_tensor(images: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(images.transpose(0, 3, 1, 2) / np.float32(255))


def error(denoiser: Denoiser, clean: Tensor, sigma: float) -> float:
    noisy = clean + sigma * torch.randn(clean.shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        found = denoiser(noisy, torch.full((len(clean),), sigma))
    return float((found - clean).square().mean())


def test_it_knows_the_shapes_that_it_was_shown(learnt: Denoiser) -> None:
    """Stripes it has not seen keep a fifth of the noise at most; stripes the other way keep more."""
    unseen = as_tensor(stripes(12, 24, 7))
    sigma = 0.3
    assert error(learnt, unseen, sigma) < 0.2 * sigma**2
    assert error(learnt, unseen.transpose(2, 3), sigma) > 1.5 * error(learnt, unseen, sigma)


def test_learning_is_told_step_by_step_and_the_same_seed_learns_the_same() -> None:
    counted: list[int] = []
    images = stripes(4, 12, 0)
    state = torch.random.get_rng_state()
    one, again, other = (learn_denoiser(images, 3, CPU, seed, counted.append) for seed in (5, 5, 6))
    assert counted == [1] * 9
    assert one.weights_hash == again.weights_hash != other.weights_hash
    assert torch.equal(torch.random.get_rng_state(), state)
    assert not any(each.requires_grad for each in one.parameters())


def test_weights_make_the_same_denoiser_again(learnt: Denoiser) -> None:
    again = with_weights(weights_of(learnt))
    assert again.weights_hash == learnt.weights_hash
    assert error(again, as_tensor(stripes(2, 16, 3)), 0.1) == error(learnt, as_tensor(stripes(2, 16, 3)), 0.1)


@pytest.mark.parametrize(("height", "width", "channels"), [(1, 1, 1), (5, 9, 3), (17, 2, 1), (50, 64, 3)])
def test_images_and_pictures_of_any_size(height: int, width: int, channels: int) -> None:
    images = np.full((2, height, width, channels), 90, np.uint8)
    denoiser = learn_denoiser(images, 2)
    picture = torch.rand(2, channels, height, width)
    found = denoiser(picture, torch.full((2,), 0.1))
    assert found.shape == picture.shape
    assert bool(torch.isfinite(found).all())


def test_the_pull_is_the_distance_from_the_denoised_picture_in_units_of_the_noise(learnt: Denoiser) -> None:
    picture = torch.rand(2, 1, 16, 16, generator=torch.Generator().manual_seed(0)).requires_grad_()
    pull = Pull(learnt, 10, CPU)
    for step in (0, 4, 8):
        sigma = HIGHEST * (LOWEST / HIGHEST) ** (step / 10)
        noise = torch.from_numpy(np.random.default_rng(step).standard_normal((1, 16, 16), np.float32))
        with torch.no_grad():
            clean = learnt(picture + sigma * noise, torch.full((2,), sigma))
        found = pull.distance(picture, step)
        expected = ((picture - clean) / sigma).square().mean((1, 2, 3))
        assert torch.allclose(found, expected, rtol=1e-4)
        (gradient,) = torch.autograd.grad(found.sum(), picture)
        assert torch.allclose(gradient, 2 * (picture - clean).detach() / sigma**2 / 256, atol=1e-6)


def test_a_picture_is_denoised_once_for_some_steps(learnt: Denoiser, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float] = []
    forward = module.Denoiser.forward

    def counted(self: Denoiser, noisy: Tensor, sigma: Tensor) -> Tensor:
        asked.append(float(sigma[0]))
        return forward(self, noisy, sigma)

    monkeypatch.setattr(module.Denoiser, "forward", counted)
    pull, picture = Pull(learnt, 8, CPU), torch.rand(1, 1, 16, 16)
    for step in range(8):
        pull.distance(picture, step)
    assert len(asked) == 8 // EVERY
    assert asked == sorted(asked, reverse=True)
    assert asked[0] == pytest.approx(HIGHEST)


def test_pictures_are_pulled_each_by_itself(learnt: Denoiser) -> None:
    pictures = torch.rand(3, 1, 16, 16, generator=torch.Generator().manual_seed(2))
    together = Pull(learnt, 10, CPU).distance(pictures, 2)
    alone = [float(Pull(learnt, 10, CPU).distance(each[None], 2)) for each in pictures]
    assert together.tolist() == pytest.approx(alone, rel=1e-4)


def test_steps_along_the_pull_make_noise_a_surface(learnt: Denoiser) -> None:
    """From noise, gradient steps alone come to stripes: rows that are the same all along."""
    picture = torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(3)).requires_grad_()
    before = float(picture.detach().std(3).mean())
    optimiser, pull = torch.optim.Adam([picture], 0.05), Pull(learnt, 60, CPU)
    for step in range(60):
        optimiser.zero_grad()
        torch.autograd.backward(pull.distance(picture, step).sum())
        optimiser.step()
    along, across = float(picture.detach().std(3).mean()), float(picture.detach().std(2).mean())
    assert along < 0.4 * before
    assert across > 1.5 * along
