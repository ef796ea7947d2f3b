"""The metrics in PyTorch: batches, any device, and gradients, for evaluation on a GPU and for losses.

Every function takes ``fused`` (and ``first``, ``second``): (B, 1, H, W) floating-point tensors of levels
0..255, not necessarily whole, and gives (B,) in float32 (float64 for float64 input), NaN where the metric is
undefined. Definitions, ranges, units and sources are those of the NumPy functions of the same name
(convention `cddfuse`), which they equal on whole levels up to rounding. All are differentiable almost
everywhere, with finite gradients in flat regions and none from undefined images (so that ``nanmean`` makes a
loss of them), but for ``entropy`` and ``mutual_information``: these count levels rounded to whole numbers and
pass no gradient. Autocast does not reach into them.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial, wraps
from typing import TypeVar

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

from fsidfusion.errors import InputError
from fsidfusion.metrics.fidelity import EPSILON, NOISE_VARIANCE, VIF_WINDOWS
from fsidfusion.metrics.structure import WINDOW

BatchMetric = TypeVar("BatchMetric", bound=Callable[..., Tensor])


def _on_batches(metric: BatchMetric) -> BatchMetric:
    """Check the tensors' shapes and run ``metric`` on them in float32 or float64, autocast off."""

    @wraps(metric)
    def checked(*images: Tensor, **options: float) -> Tensor:
        shapes = [tuple(image.shape) for image in images]
        if any(len(shape) != 4 or shape[1] != 1 or shape != shapes[0] for shape in shapes):
            told = ", ".join(map(str, shapes))
            raise InputError(f"batched metrics need tensors of one shape (B, 1, H, W), got {told}")
        if not all(image.is_floating_point() for image in images):
            told = ", ".join(str(image.dtype) for image in images)
            raise InputError(f"batched metrics need floating-point tensors of levels 0..255, got {told}")
        dtype = torch.float64 if all(image.dtype == torch.float64 for image in images) else torch.float32
        with torch.autocast(images[0].device.type, enabled=False):
            return metric(*(image.to(dtype) for image in images), **options).to(dtype)

    return checked  # type: ignore[return-value]


@_on_batches
def entropy(fused: Tensor, /) -> Tensor:
    """EN in bits; no gradient."""
    p = _joint_histogram(fused, fused).sum(dim=2)
    return _entropy(p) / math.log(2)


@_on_batches
def mutual_information(fused: Tensor, first: Tensor, second: Tensor, /) -> Tensor:
    """MI in nats; no gradient."""
    total = torch.zeros(len(fused), dtype=torch.float64, device=fused.device)
    for source in (first, second):
        joint = _joint_histogram(fused, source)
        total += _entropy(joint.sum(dim=2)) + _entropy(joint.sum(dim=1)) - _entropy(joint.flatten(1))
    return total


@_on_batches
def standard_deviation(fused: Tensor, /) -> Tensor:
    """SD in grey levels."""
    return _safe_sqrt((fused - _mean(fused)).square().mean(dim=(1, 2, 3)))


@_on_batches
def spatial_frequency(fused: Tensor, /) -> Tensor:
    """SF in grey levels per pixel."""
    across, down = (fused.diff(dim=dim).square().flatten(1) for dim in (3, 2))
    return _safe_sqrt(across.sum(1) / max(across.shape[1], 1) + down.sum(1) / max(down.shape[1], 1))


@_on_batches
def average_gradient(fused: Tensor, /) -> Tensor:
    """AG in grey levels per pixel."""
    energy = _central_difference(fused, 2).square() + _central_difference(fused, 3).square()
    return _safe_sqrt(energy / 2).mean(dim=(1, 2, 3))


@_on_batches
def correlation(fused: Tensor, first: Tensor, second: Tensor, /) -> Tensor:
    """CC."""
    return (_pearson(first, fused) + _pearson(second, fused)) / 2


@_on_batches
def sum_of_difference_correlations(fused: Tensor, first: Tensor, second: Tensor, /) -> Tensor:
    """SCD."""
    return _pearson(fused - second, first) + _pearson(fused - first, second)


@_on_batches
def peak_signal_to_noise(
    fused: Tensor, first: Tensor, second: Tensor, /, peak: float | None = None
) -> Tensor:
    """PSNR in decibels; ``peak`` is max(F) unless given. Infinite where the three are identical."""
    error = ((fused - first).square() + (fused - second).square()).mean(dim=(1, 2, 3)) / 2
    square = fused.amax(dim=(1, 2, 3)).square() if peak is None else torch.full_like(error, peak**2)
    power = _defined_ratio(square, error, (square > 0) & (error > 0))
    return torch.where((square > 0) & (error == 0), math.inf, 10 * torch.log10(power))


@_on_batches
def structural_similarity(
    fused: Tensor, first: Tensor, second: Tensor, /, value_range: float = 255.0
) -> Tensor:
    """SSIM, the sum over both sources; ``value_range`` 2 is SSIM_legacy."""
    if min(fused.shape[2:]) < WINDOW:
        return _undefined(fused)
    c1, c2 = (0.01 * value_range) ** 2, (0.03 * value_range) ** 2
    sample = WINDOW**2 / (WINDOW**2 - 1)
    smooth = partial(avg_pool2d, kernel_size=WINDOW, stride=1)
    (mean_f, variance_f), *moments = _moments(fused, (first, second), smooth)
    total = torch.zeros_like(fused[:, 0, 0, 0])
    for mean, variance, covariance in moments:
        structure = (2 * sample * covariance + c2) / (sample * (variance + variance_f) + c2)
        x, y = mean + _CENTRE, mean_f + _CENTRE
        total = total + (structure * (2 * x * y + c1) / (x * x + y * y + c1)).mean(dim=(1, 2, 3))
    return total


@_on_batches
def visual_information_fidelity(fused: Tensor, first: Tensor, second: Tensor, /) -> Tensor:
    """VIF, the sum over both sources."""
    if min(fused.shape[2:]) < VIF_WINDOWS[0]:
        return _undefined(fused)
    constant = torch.stack([_is_constant(source) for source in (first, second)])
    kept = there = torch.zeros(2, len(fused), dtype=fused.dtype, device=fused.device)
    fields = torch.stack((fused, first, second))
    for scale, window in enumerate(VIF_WINDOWS):
        smooth = partial(_gaussian, window=window)
        if scale > 0 and min(fields.shape[3:]) >= window:
            fields = smooth(fields.flatten(0, 1))[:, :, ::2, ::2].unflatten(0, (3, -1))
        if min(fields.shape[3:]) < window:
            break
        (_, variance_f), *moments = _moments(fields[0], (fields[1], fields[2]), smooth)
        variance = torch.stack([moment[1] for moment in moments])  # (2, B, 1, h, w)
        covariance = torch.stack([moment[2] for moment in moments])
        flat = (variance < EPSILON) | (variance_f < EPSILON) | (covariance < 0)
        covariance = torch.where(flat, 0, covariance)
        gain = covariance / (variance + EPSILON)
        noise = (variance_f - gain * covariance).clamp_min(EPSILON) + NOISE_VARIANCE
        kept = kept + torch.log1p(gain * gain * variance / noise).sum(dim=(2, 3, 4))
        there = there + torch.log1p(variance / NOISE_VARIANCE).sum(dim=(2, 3, 4))
    return _defined_ratio(kept, there, ~constant).sum(dim=0)


@_on_batches
def edge_preservation(fused: Tensor, first: Tensor, second: Tensor, /) -> Tensor:
    """Qabf."""
    strength_f, angle_f = _sobel(fused)
    kept = weight = torch.zeros_like(fused[:, 0, 0, 0])
    for source in (first, second):
        strength, angle = _sobel(source)
        weak, strong = torch.minimum(strength, strength_f), torch.maximum(strength, strength_f)
        ratio = torch.where(weak == strong, strength_f, weak / strong.clamp_min(1e-9))
        likeness = 1 - (angle - angle_f).abs() * (2 / math.pi)
        q = 0.9994 * 0.9879 * torch.sigmoid(15 * (ratio - 0.5)) * torch.sigmoid(22 * (likeness - 0.8))
        kept = kept + (q * strength).sum(dim=(1, 2, 3))
        weight = weight + strength.sum(dim=(1, 2, 3))
    return _defined_ratio(kept, weight, weight > 0)


BATCHED: dict[str, Callable[..., Tensor]] = {
    "EN": entropy,
    "SD": standard_deviation,
    "SF": spatial_frequency,
    "AG": average_gradient,
    "MI": mutual_information,
    "CC": correlation,
    "SCD": sum_of_difference_correlations,
    "PSNR": peak_signal_to_noise,
    "SSIM": structural_similarity,
    "VIF": visual_information_fidelity,
    "Qabf": edge_preservation,
}
FUSED_ALONE = ("EN", "SD", "SF", "AG")


def score_batch(
    fused: Tensor, first: Tensor, second: Tensor, metrics: Sequence[str] = tuple(BATCHED)
) -> dict[str, Tensor]:
    """Compute metrics of B fused images and their sources, (B, 1, H, W) of levels 0..255.

    Returns name -> (B,), NaN where undefined. Raises ``InputError`` for an unknown name or a wrong tensor.
    """
    unknown = [name for name in metrics if name not in BATCHED]
    if unknown:
        raise InputError(f"no batched metric {unknown[0]!r}; there are {', '.join(BATCHED)}")
    images = (fused, first, second)
    return {name: BATCHED[name](*images[: 1 if name in FUSED_ALONE else 3]) for name in metrics}


_CENTRE = 128.0  # taken off before squaring, so that float32 keeps the small variances


def _moments(
    fused: Tensor, sources: Sequence[Tensor], smooth: Callable[[Tensor], Tensor]
) -> list[tuple[Tensor, ...]]:
    """Local moments under a filter of sum 1: [(mean F, variance F), (mean, variance, covariance with F)...].

    Means are of the levels less ``_CENTRE``; variances are population variances, not below 0.
    """
    f, *others = (image - _CENTRE for image in (fused, *sources))
    products = [f, f * f, *(field for s in others for field in (s, s * s, s * f))]
    smoothed = smooth(torch.cat(products)).chunk(len(products))
    mean_f = smoothed[0]
    moments: list[tuple[Tensor, ...]] = [(mean_f, (smoothed[1] - mean_f * mean_f).clamp_min(0))]
    for mean, square, product in zip(smoothed[2::3], smoothed[3::3], smoothed[4::3]):
        moments.append((mean, (square - mean * mean).clamp_min(0), product - mean * mean_f))
    return moments


def _gaussian(fields: Tensor, window: int) -> Tensor:
    """'valid' Gaussian filter of n x n pixels, sigma n / 5, of (B, 1, H, W).

    A sum of shifted fields: several times faster than ``conv2d`` of one channel on a CPU, and safe from TF32,
    which would round squares to 10 bits, coarser than the variances that are left of them.
    """
    bell = [math.exp(-((i - window // 2) ** 2) / (2 * (window / 5) ** 2)) for i in range(window)]
    weights = [value / math.fsum(bell) for value in bell]
    for dim in (2, 3):
        length = fields.shape[dim] - window + 1
        total = fields.narrow(dim, 0, length) * weights[0]
        for shift in range(1, window):
            total = torch.add(total, fields.narrow(dim, shift, length), alpha=weights[shift])
        fields = total
    return fields


def _sobel(image: Tensor) -> tuple[Tensor, Tensor]:
    """Strength and angle (atan(sy/sx), pi/2 where sx = 0) of the zero-padded Sobel gradient, (B, 1, H, W)."""
    x = pad(image, (1, 1, 1, 1))
    smooth_down = x[:, :, :-2] + 2 * x[:, :, 1:-1] + x[:, :, 2:]
    smooth_across = x[..., :-2] + 2 * x[..., 1:-1] + x[..., 2:]
    sx, sy = smooth_down[..., 2:] - smooth_down[..., :-2], smooth_across[:, :, :-2] - smooth_across[:, :, 2:]
    flat = sx == 0
    angle = torch.where(flat, math.pi / 2, torch.atan(sy / torch.where(flat, 1, sx)))
    return _safe_sqrt(sx * sx + sy * sy), angle


def _central_difference(image: Tensor, dim: int) -> Tensor:
    """Derivative along ``dim``, one-sided at the edges, 0 for one pixel."""
    return torch.gradient(image, dim=dim)[0] if image.shape[dim] > 1 else torch.zeros_like(image)


def _joint_histogram(one: Tensor, other: Tensor) -> Tensor:
    """(B, 256, 256) float64 shares of the pairs of rounded levels; no gradient."""
    x, y = (image.detach().round().clamp(0, 255).long().flatten(1) for image in (one, other))
    batch, count = x.shape
    offset = torch.arange(batch, device=x.device)[:, None] * 65536
    counts = torch.bincount((offset + 256 * x + y).flatten(), minlength=batch * 65536)
    return counts.view(batch, 256, 256).double() / count


def _entropy(p: Tensor) -> Tensor:
    """Entropy of each row of (B, n) probabilities, in nats."""
    return -torch.xlogy(p, p).sum(dim=1)


def _mean(image: Tensor) -> Tensor:
    """Mean of each image, (B, 1, 1, 1)."""
    return image.mean(dim=(1, 2, 3), keepdim=True)


def _pearson(one: Tensor, other: Tensor) -> Tensor:
    """Pearson correlation of each pair of images, (B,), NaN where one is constant."""
    x, y = (one - _mean(one)).flatten(1), (other - _mean(other)).flatten(1)
    scale = x.square().sum(dim=1) * y.square().sum(dim=1)
    constant = _is_constant(one) | _is_constant(other)
    return _defined_ratio((x * y).sum(dim=1), _safe_sqrt(scale), ~constant)


def _is_constant(image: Tensor) -> Tensor:
    """(B,) whether all pixels of an image are equal."""
    return image.amax(dim=(1, 2, 3)) == image.amin(dim=(1, 2, 3))


def _defined_ratio(numerator: Tensor, denominator: Tensor, defined: Tensor) -> Tensor:
    """The quotient, and NaN without a gradient where it is not ``defined``."""
    return torch.where(defined, numerator / torch.where(defined, denominator, 1), math.nan)


def _safe_sqrt(x: Tensor) -> Tensor:
    """Square root whose gradient at 0 is 0, not infinite."""
    positive = x > 0
    return torch.where(positive, torch.where(positive, x, 1).sqrt(), 0)


def _undefined(fused: Tensor) -> Tensor:
    """(B,) of NaN."""
    return torch.full_like(fused[:, 0, 0, 0], math.nan)
