import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from fsidfusion.metrics import score
from fsidfusion.training import objectives
from training_pairs import textured


def batch(*seeds: int) -> torch.Tensor:
    pictures = [torch.from_numpy(textured(seed, 64, 72)) for seed in seeds]
    return torch.stack(pictures)[:, None].double() / 255


def test_sobel_is_the_plain_kernel_with_zero_padding() -> None:
    image = batch(1, 2)
    kernel = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]], dtype=torch.float64)
    horizontal, vertical = objectives.sobel(image)
    assert torch.allclose(horizontal, F.conv2d(image, kernel[None, None], padding=1))
    assert torch.allclose(vertical, F.conv2d(image, kernel.T[None, None], padding=1))


def test_ssim_map_against_sums_over_one_window() -> None:
    x, y = batch(1), batch(2)
    offsets = torch.arange(11, dtype=torch.float64) - 5
    line = torch.exp(-(offsets**2) / (2 * 1.5**2))
    window = torch.outer(line, line) / torch.outer(line, line).sum()
    a, b = x[0, 0, 20:31, 30:41], y[0, 0, 20:31, 30:41]
    mean_a, mean_b = (window * a).sum(), (window * b).sum()
    var_a, var_b = (window * a * a).sum() - mean_a**2, (window * b * b).sum() - mean_b**2
    cov = (window * a * b).sum() - mean_a * mean_b
    expected = (2 * mean_a * mean_b + 1e-4) * (2 * cov + 9e-4)
    expected /= (mean_a**2 + mean_b**2 + 1e-4) * (var_a + var_b + 9e-4)
    assert objectives.ssim_map(x, y)[0, 0, 25, 35].item() == pytest.approx(expected.item(), rel=1e-9)


def test_losses_of_a_perfect_result_are_zero() -> None:
    image = batch(3, 4)
    assert objectives.ssim_loss(image, image).item() == pytest.approx(0, abs=1e-12)
    assert sum(objectives.stage_one_loss(image, image, image, image).values()).item() == pytest.approx(
        0, abs=1e-9
    )
    published = objectives.published_fusion_loss(image, image, image)
    assert [term.item() for term in published.values()] == [0, 0]
    for loss in (
        objectives.intensity_loss,
        objectives.calm_intensity_loss,
        objectives.crushed_tones_loss,
        objectives.regional_intensity_loss,
        objectives.signed_gradient_loss,
        objectives.weighted_ssim_loss,
    ):
        assert loss(image, image, image).item() == pytest.approx(0, abs=1e-9), loss.__name__


def test_published_gradient_term_is_blind_to_sign_and_the_signed_one_is_not() -> None:
    image = 0.25 + 0.5 * batch(5)
    inverted = 1 - image
    interior = slice(2, -2)
    plain, turned = (objectives.sobel_strength(x)[..., interior, interior] for x in (image, inverted))
    assert torch.allclose(plain, turned)
    assert objectives.signed_gradient_loss(inverted, image, image) > 0.1


def test_edge_transfer_follows_the_metric() -> None:
    first, second = batch(6), batch(7)
    results = [torch.maximum(first, second), (first + second) / 2, first, batch(8)]
    ours = [1 - objectives.edge_transfer_loss(fused, first, second).item() for fused in results]
    pixels = [np.rint(x[0, 0].numpy() * 255).astype(np.uint8) for x in (first, second)]
    metric = [
        score(np.rint(fused[0, 0].numpy() * 255).astype(np.uint8), *pixels, metrics=("Qabf",))["Qabf"]
        for fused in results
    ]
    assert ours == pytest.approx(metric, abs=0.06)  # it has a noise floor that the metric lacks
    assert np.argsort(ours).tolist() == np.argsort(metric).tolist()


def test_visual_information_rises_with_fidelity() -> None:
    first, second = batch(9), batch(10)
    noise = 0.05 * torch.randn(first.shape, generator=torch.Generator().manual_seed(0), dtype=first.dtype)
    losses = [
        objectives.visual_information_loss(fused, first, second).item()
        for fused in (first, first + noise, torch.full_like(first, 0.5))
    ]
    assert losses[0] < losses[1] < losses[2]
    assert losses[2] == pytest.approx(2, abs=1e-3)


@settings(max_examples=15)
@given(st.integers(0, 10**6), st.booleans())
def test_every_loss_has_finite_gradients(seed: int, flat: bool) -> None:
    rng = np.random.default_rng(seed)
    shape = (1, 1, 40, 40)
    infrared = torch.zeros(shape) if flat else torch.from_numpy(rng.random(shape)).float()
    visible = torch.from_numpy(rng.random(shape)).float().round(decimals=1)
    for loss in (
        objectives.intensity_loss,
        objectives.calm_intensity_loss,
        objectives.crushed_tones_loss,
        objectives.regional_intensity_loss,
        objectives.signed_gradient_loss,
        objectives.weighted_ssim_loss,
        objectives.edge_transfer_loss,
        objectives.visual_information_loss,
    ):
        fused = torch.maximum(infrared, visible).requires_grad_(True)
        value = loss(fused, infrared, visible)
        value.backward()
        assert value.isfinite()
        assert fused.grad is not None
        assert fused.grad.isfinite().all(), loss.__name__


@given(st.floats(1.0, 1.33))
def test_lift_keeps_black_white_and_order(lift: float) -> None:
    ramp = torch.linspace(0, 1, 256, dtype=torch.float64).view(1, 1, 16, 16)
    lifted = objectives.lifted_maximum(torch.zeros_like(ramp), ramp, lift).flatten()
    assert lifted[0] == 0
    assert lifted[-1].item() == pytest.approx(1)
    assert (lifted.diff() > -1e-12).all()


def test_gain_leaves_noise_alone() -> None:
    noise = objectives.NOISE / 100
    ramp = torch.arange(32, dtype=torch.float64).expand(1, 1, 32, 32)
    faint, strong = ramp * noise / 8, ramp * 0.03
    for source, expected in ((faint, 1.0), (strong, 1.25)):
        gains = torch.linspace(1, 1.3, 31, dtype=torch.float64)
        black = torch.zeros_like(source)
        losses = [objectives.signed_gradient_loss(g * source, black, source, gain=1.3)[None] for g in gains]
        assert gains[torch.cat(losses).argmin()].item() == pytest.approx(expected, abs=0.05)


def test_calm_regions_weigh_more_than_edges() -> None:
    step = torch.zeros(1, 1, 16, 16)
    step[..., 8:] = 0.8
    losses = []
    for column in (2, 8):  # the same error in the calm and at the edge
        fused = step.clone()
        fused[..., column] += 0.1
        losses.append(objectives.calm_intensity_loss(fused, torch.zeros_like(step), step).item())
    assert losses[0] > 20 * losses[1] > 0


def test_crushing_a_faint_tone_costs_more_than_the_same_step_of_a_middle_one() -> None:
    def cost(level: float, change: float) -> float:
        source = torch.full((1, 1, 8, 8), level / 255)
        return objectives.crushed_tones_loss(source + change / 255, source, source).item()

    assert cost(2, -2) > 10 * cost(120, -2) > 0
    assert cost(253, 1) > 10 * cost(135, 1) > 0
    assert cost(2, 2) < cost(2, -2) / 50  # away from the end
    assert cost(0, 2) > 10 * cost(120, 2)  # black stays black
    assert cost(255, -40) < cost(215, 40) / 10  # a saturated source says nothing


def test_pixels_outside_the_range_come_back_and_earn_nothing() -> None:
    image = torch.tensor([-0.2, -0.2, 0.0, 0.5, 1.0, 1.3, 1.3], requires_grad=True)
    pull = torch.tensor([-1.0, 1.0, 1.0, 1.0, -1.0, 1.0, -1.0])
    shown = objectives.as_shown(image)
    assert shown.tolist() == [0, 0, 0, 0.5, 1, 1, 1]
    (shown * pull).sum().backward()
    assert image.grad is not None
    assert image.grad.tolist() == [-1, 0, 1, 1, -1, 1, 0]
