"""The PyTorch metrics against the NumPy ones, their gradients, and what they refuse."""

import math
import warnings

import numpy as np
import pytest
import torch

from bench_metrics import rendered_triple
from fsidfusion.errors import FusionError
from fsidfusion.metrics import batched, score
from fsidfusion.metrics.batched import BATCHED, score_batch

TRIPLES = [rendered_triple(50, 61, seed=seed) for seed in range(3)]
DIFFERENTIABLE = [name for name in BATCHED if name not in ("EN", "MI")]


def stack(triples, dtype):
    return [torch.from_numpy(np.stack(images)[:, None]).to(dtype) for images in zip(*triples)]


@pytest.mark.parametrize(("dtype", "rel"), [(torch.float64, 1e-10), (torch.float32, 3e-6)])
def test_equal_to_numpy(dtype, rel):
    found = score_batch(*stack(TRIPLES, dtype))
    assert all(values.dtype == dtype and values.shape == (3,) for values in found.values())
    for index, triple in enumerate(TRIPLES):
        expected = score(*triple)
        assert {name: float(values[index]) for name, values in found.items()} == pytest.approx(
            expected, rel=rel
        )


def test_legacy_ssim_and_peak():
    images, triple = stack(TRIPLES, torch.float64), TRIPLES[0]
    legacy = batched.structural_similarity(*images, value_range=2)[0]
    assert float(legacy) == pytest.approx(score(*triple, ["SSIM_legacy"])["SSIM_legacy"], rel=1e-9)
    tang = batched.peak_signal_to_noise(*images, peak=255**2)[0]
    assert float(tang) == pytest.approx(score(*triple, ["PSNR"], "tang")["PSNR"], rel=1e-9)


def test_half_precision_and_autocast_compute_in_float32():
    whole = stack(TRIPLES, torch.float32)
    expected = score_batch(*whole)
    half = score_batch(*stack(TRIPLES, torch.bfloat16))  # whole levels up to 256 are exact in it
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = score_batch(*whole)
    for name, values in expected.items():
        assert torch.equal(half[name], values), name
        assert torch.equal(cast[name], values), name


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_gradients_are_right(name):
    rng = np.random.default_rng(7)
    images = [torch.from_numpy(rng.uniform(20, 230, (1, 1, 18, 19))) for _ in range(3)]
    fused = images[0].requires_grad_()
    score_batch(*images, [name])[name].sum().backward()
    assert fused.grad is not None
    direction = torch.from_numpy(rng.normal(size=fused.shape))
    step = 1e-5
    with torch.no_grad():
        up, down = (
            score_batch(fused + sign * step * direction, *images[1:], [name])[name] for sign in (1, -1)
        )
    slope = float((up - down).sum()) / (2 * step)
    assert float((fused.grad * direction).sum()) == pytest.approx(slope, rel=1e-4, abs=1e-9)


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_gradients_stay_finite_in_flat_and_equal_regions(name):
    fused, first, second = stack(TRIPLES, torch.float32)
    for image in (fused, first, second):
        image[:, :, :30] = 40.0
    first[..., 35:] = fused[..., 35:]
    fused.requires_grad_()
    score_batch(fused, first, second, [name])[name].sum().backward()
    assert torch.isfinite(fused.grad).all()
    assert fused.grad.abs().sum() > 0


@pytest.mark.parametrize("name", ["CC", "SCD", "PSNR", "VIF", "Qabf"])
def test_undefined_images_leave_the_others_their_gradient(name):
    fused, first, second = stack(TRIPLES, torch.float32)
    for image in (fused, first, second):
        image[0] = 0.0
    fused.requires_grad_()
    values = score_batch(fused, first, second, [name])[name]
    assert torch.isnan(values).tolist() == [True, False, False]
    values.nanmean().backward()
    assert torch.isfinite(fused.grad).all()
    assert fused.grad[0].abs().sum() == 0
    assert (fused.grad[1:].abs().sum(dim=(1, 2, 3)) > 0).all()


@pytest.mark.parametrize("name", ["EN", "MI"])
def test_histogram_metrics_pass_no_gradient(name):
    fused, first, second = stack(TRIPLES, torch.float32)
    assert not score_batch(fused.requires_grad_(), first, second, [name])[name].requires_grad


@pytest.mark.parametrize("size", [(1, 1), (1, 8), (6, 7), (7, 7), (17, 17), (20, 33)])
def test_small_and_degenerate_images_agree_with_numpy(size):
    rng = np.random.default_rng(9)
    noise = [rng.integers(0, 256, size, dtype=np.uint8) for _ in range(3)]
    flat, black = np.full(size, 50, np.uint8), np.zeros(size, np.uint8)
    triples = [
        tuple(noise),
        (noise[0], noise[0], noise[1]),
        (noise[0], flat, noise[1]),
        (flat, noise[0], noise[1]),
        (black, noise[0], black),
        (flat, flat, flat),
    ]
    found = score_batch(*stack(triples, torch.float64))
    for index, triple in enumerate(triples):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = score(*triple)
        for name, value in expected.items():
            got = float(found[name][index])
            if name == "SCD" and math.isnan(value):
                continue  # float differences of images that differ by a constant are told only if it is 0
            got = math.nan if math.isinf(got) else got
            assert got == pytest.approx(value, rel=1e-8, abs=1e-9, nan_ok=True), (name, index)


def test_wrong_tensors_are_refused():
    image = torch.zeros(2, 1, 8, 8)
    with pytest.raises(FusionError, match=r"\(B, 1, H, W\), got \(2, 1, 8, 8\), \(2, 8, 8\)"):
        batched.correlation(image, image[:, 0], image)
    with pytest.raises(FusionError, match=r"one shape"):
        batched.correlation(image, image[:1], image)
    with pytest.raises(FusionError, match=r"\(2, 3, 8, 8\)"):
        batched.entropy(image.expand(2, 3, 8, 8))
    with pytest.raises(FusionError, match=r"floating-point.*torch.uint8"):
        batched.entropy(image.to(torch.uint8))
    with pytest.raises(FusionError, match=r"no batched metric 'Qcb'; there are EN"):
        score_batch(image, image, image, ["Qcb"])
