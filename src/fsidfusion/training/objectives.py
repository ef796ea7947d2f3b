"""Training objectives: the published losses, then those of the `balanced` recipe.

Images are (B, 1, H, W), nominally 0..1; a loss is a scalar averaged over the batch, 0 at best.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from fsidfusion.network.blocks import within

FAINT = 3 / 255  # distance from black or white at which a tone is one of the faintest
NOISE = 12 / 255  # Sobel strength of sensor noise: a slope of one and a half grey levels a pixel


def sobel(image: Tensor, padding: str = "constant") -> tuple[Tensor, Tensor]:
    """Horizontal and vertical Sobel response, each (B, 1, H, W); ``padding``: constant | replicate."""
    padded = F.pad(image, (1, 1, 1, 1), mode=padding)
    across = padded[..., 2:] - padded[..., :-2]  # (B, 1, H + 2, W)
    down = padded[..., 2:, :] - padded[..., :-2, :]  # (B, 1, H, W + 2)
    return (
        across[..., :-2, :] + 2 * across[..., 1:-1, :] + across[..., 2:, :],
        down[..., :-2] + 2 * down[..., 1:-1] + down[..., 2:],
    )


# --- as published --------------------------------------------------------------------------------------


def ssim_map(x: Tensor, y: Tensor, window: int = 11, sigma: float = 1.5) -> Tensor:
    """Structural similarity at each pixel, (B, 1, H, W), -1..1, dynamic range 1 (Wang et al., 2004).

    A Gaussian window with reflected borders, so that the map keeps the size of the images.
    """
    offsets = torch.arange(window, dtype=x.dtype, device=x.device) - window // 2
    weights = torch.exp(-(offsets**2) / (2 * sigma**2))
    weights = weights / weights.sum()
    maps = torch.cat((x, y, x * x, y * y, x * y), dim=1)  # (B, 5, H, W)
    maps = F.pad(maps, (window // 2,) * 4, mode="reflect")
    maps = F.conv2d(maps, weights.view(1, 1, 1, -1).expand(5, 1, 1, -1), groups=5)
    maps = F.conv2d(maps, weights.view(1, 1, -1, 1).expand(5, 1, -1, 1), groups=5)
    mean_x, mean_y, xx, yy, xy = maps.split(1, dim=1)
    var_x, var_y, cov = xx - mean_x**2, yy - mean_y**2, xy - mean_x * mean_y
    c1, c2 = 0.01**2, 0.03**2
    return ((2 * mean_x * mean_y + c1) * (2 * cov + c2)) / (
        (mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2)
    )


def ssim_loss(x: Tensor, y: Tensor) -> Tensor:
    """``clamp((1 - SSIM) / 2, 0, 1)``, averaged; 11 x 11 Gaussian window, sigma 1.5."""
    return ((1 - ssim_map(x, y)) / 2).clamp(0, 1).mean()


def reconstruction_loss(image: Tensor, reconstructed: Tensor) -> Tensor:
    """``5 SSIMloss + MSE``: one modality against its reconstruction (stage I)."""
    return 5 * ssim_loss(image, reconstructed) + F.mse_loss(image, reconstructed)


def gradient_reconstruction_loss(image: Tensor, reconstructed: Tensor) -> Tensor:
    """L1 between normalised Sobel gradients (kernel / 8), both directions (stage I, visible image)."""
    pairs = zip(sobel(image, "replicate"), sobel(reconstructed, "replicate"), strict=True)
    return sum((F.l1_loss(a, b) for a, b in pairs), image.new_zeros(())) / 16  # / 8 each, / 2 directions


def stage_one_loss(
    infrared: Tensor, visible: Tensor, infrared_hat: Tensor, visible_hat: Tensor
) -> dict[str, Tensor]:
    """Stage I: ``rec(V, V^) + rec(I, I^) + 5 L1(grad V, grad V^)``, as weighted terms to be summed."""
    return {
        "rec_visible": reconstruction_loss(visible, visible_hat),
        "rec_infrared": reconstruction_loss(infrared, infrared_hat),
        "rec_gradient": 5 * gradient_reconstruction_loss(visible, visible_hat),
    }


def sobel_strength(image: Tensor) -> Tensor:
    """``|Sobel_x| + |Sobel_y|``, plain Sobel, zero padding: (B, 1, H, W), not negative."""
    horizontal, vertical = sobel(image)
    return horizontal.abs() + vertical.abs()


def published_fusion_loss(fused: Tensor, infrared: Tensor, visible: Tensor) -> dict[str, Tensor]:
    """Stage II: ``L1(F, max(V, I)) + 100 L1(S(F), max(S(V), S(I)))``, as weighted terms.

    S sums absolute responses: a gradient of the wrong sign costs nothing; `signed_gradient_loss` mends that.
    """
    strongest = torch.maximum(sobel_strength(visible), sobel_strength(infrared))
    return {
        "intensity": F.l1_loss(fused, torch.maximum(visible, infrared)),
        "gradient": 100 * F.l1_loss(sobel_strength(fused), strongest),
    }


# --- the balanced recipe -------------------------------------------------------------------------------


def as_shown(image: Tensor) -> Tensor:
    """The image as it will be shown, clipped to 0..1; overshoot earns nothing.

    A pixel that was pulled below black, where its neighbour gains contrast, finds its way back: see `within`.
    """
    return within(image, 0, 1)


def lifted_maximum(infrared: Tensor, visible: Tensor, lift: float = 1.0) -> Tensor:
    """The pixel-wise maximum m, its dark and middle tones times ``lift``: m (lift - (lift - 1) m^3).

    White stays white; the slope falls smoothly towards it. ``lift`` 1..1.33 keeps the curve rising.
    """
    maximum = torch.maximum(visible, infrared)
    return maximum * (lift - (lift - 1) * maximum**3)


def intensity_loss(
    fused: Tensor, infrared: Tensor, visible: Tensor, lift: float = 1.0, corner: float = 4.0
) -> Tensor:
    """L1 to the (lifted) pixel-wise maximum: hot targets and lit surfaces stay bright.

    Rounded off within ``corner`` grey levels (Charbonnier): the sharp corner of L1 at the maximum, from which
    training starts, would hold it there. Later a small corner keeps flat regions at one source's exact level.
    """
    corner = corner / 255
    difference = fused - lifted_maximum(infrared, visible, lift)
    return (torch.sqrt(difference**2 + corner**2) - corner).mean()


def calm_intensity_loss(
    fused: Tensor, infrared: Tensor, visible: Tensor, lift: float = 1.0, corner: float = 4.0
) -> Tensor:
    """The intensity loss where neither source has an edge: each pixel weighs ``N^2 / (N^2 + S^2)``.

    S is the stronger of the sources' Sobel strengths, N = ``NOISE``. What is calm in both sources is to keep
    one source's level exactly, while edges stay free for the gradient terms.
    """
    corner = corner / 255
    fields = [sobel(image, "replicate") for image in (infrared, visible)]
    square = torch.maximum(*(x * x + y * y for x, y in fields))
    difference = fused - lifted_maximum(infrared, visible, lift)
    distance = torch.sqrt(difference**2 + corner**2) - corner
    return (distance * NOISE**2 / (NOISE**2 + square)).mean()


def crushed_tones_loss(fused: Tensor, infrared: Tensor, visible: Tensor) -> Tensor:
    """How far dark tones of the pixel-wise maximum are pulled towards black, and bright ones towards white.

    A gain of contrast crushes the finest tones beside an edge. Terms on linear levels hardly feel it; the
    logarithm of the distance from black or white does, ``log(1 + x / d) / log(1 + 1 / d)``, d = ``FAINT``.
    Only the way towards the end counts. Where the maximum is white, a source is saturated and says nothing:
    there the other one is free to show. Where it is black, both are, and the image has to be black too.
    """
    maximum = torch.maximum(visible, infrared)
    level = torch.log1p(fused / FAINT)
    darkened = torch.log1p(maximum / FAINT) - level
    whitened = torch.log1p((1 - maximum) / FAINT) - torch.log1p((1 - fused) / FAINT)
    lost = torch.where(maximum == 0, level, F.relu(darkened) + F.relu(whitened))
    return lost.mean() / math.log1p(1 / FAINT)


def regional_intensity_loss(
    fused: Tensor, infrared: Tensor, visible: Tensor, lift: float = 1.0, window: int = 9
) -> Tensor:
    """L1 between ``window``-wide means of the image and of the (lifted) maximum.

    Regions keep their brightness, and so the picture its overall contrast, while details are free.
    """
    target = lifted_maximum(infrared, visible, lift)
    return F.l1_loss(F.avg_pool2d(fused, window, 1), F.avg_pool2d(target, window, 1))


def signed_gradient_loss(fused: Tensor, infrared: Tensor, visible: Tensor, gain: float = 1.0) -> Tensor:
    """L1 to the Sobel vector of the source that is stronger at the pixel, times ``gain``.

    Unlike the published term it keeps the sign and direction of the edge, so that contours are not inverted.
    The gain fades to 1 where the strength is near ``NOISE``: structure is to gain contrast, noise is not.
    """
    ix, iy = sobel(infrared, "replicate")
    vx, vy = sobel(visible, "replicate")
    fx, fy = sobel(fused, "replicate")
    infrared_square, visible_square = ix * ix + iy * iy, vx * vx + vy * vy
    square = torch.maximum(infrared_square, visible_square)
    factor = 1 + (gain - 1) * square / (square + NOISE**2)
    stronger = infrared_square > visible_square
    return F.l1_loss(fx, factor * torch.where(stronger, ix, vx)) + F.l1_loss(
        fy, factor * torch.where(stronger, iy, vy)
    )


def weighted_ssim_loss(fused: Tensor, infrared: Tensor, visible: Tensor) -> Tensor:
    """One minus SSIM to both sources, each pixel weighted by the local variance of the source."""
    weights = [_local_variance(source) for source in (infrared, visible)]
    total = weights[0] + weights[1] + 2e-4
    similar = sum(
        (weight + 1e-4) / total * ssim_map(fused, source)
        for weight, source in zip(weights, (infrared, visible), strict=True)
    )
    return 1 - torch.as_tensor(similar).mean()


def _local_variance(image: Tensor, window: int = 7) -> Tensor:
    mean = F.avg_pool2d(image, window, 1, window // 2, count_include_pad=False)
    square = F.avg_pool2d(image * image, window, 1, window // 2, count_include_pad=False)
    return (square - mean * mean).clamp_min(0)


def edge_transfer_loss(fused: Tensor, infrared: Tensor, visible: Tensor) -> Tensor:
    """One minus Qabf (Xydeas and Petrovic, 2000) in a form that has gradients everywhere.

    Edge strength and angle are kept as in the metric; the strengths carry a small floor (half a grey level)
    so that flat regions neither divide by zero nor pull.
    """
    floor = (0.5 / 255) ** 2

    def field(image: Tensor) -> tuple[Tensor, Tensor]:
        horizontal, vertical = sobel(image, "replicate")
        strength = torch.sqrt(horizontal * horizontal + vertical * vertical + floor)
        # atan(vertical / horizontal), with a bounded slope where the horizontal response vanishes
        safe = torch.where(horizontal >= 0, horizontal + 1e-4, horizontal - 1e-4)
        return strength, torch.atan(vertical / safe)

    strength, angle = field(fused)
    score, weight = fused.new_zeros(len(fused)), fused.new_zeros(len(fused))
    for source in (infrared, visible):
        reference, reference_angle = field(source)
        ratio = torch.minimum(strength, reference) / torch.maximum(strength, reference)
        aligned = 1 - (angle - reference_angle).abs() * (2 / math.pi)
        kept_strength = 0.9994 * torch.sigmoid(15 * (ratio - 0.5))
        kept_angle = 0.9879 * torch.sigmoid(22 * (aligned - 0.8))
        score = score + (kept_strength * kept_angle * reference).sum(dim=(1, 2, 3))
        weight = weight + reference.sum(dim=(1, 2, 3))
    return 1 - (score / weight).mean()


def visual_information_loss(fused: Tensor, infrared: Tensor, visible: Tensor, scales: int = 3) -> Tensor:
    """Two minus the pixel-domain VIF to both sources (Sheikh and Bovik, 2006), on the 0..255 scale, floored.

    The finest ``scales`` of the metric's four, from the 17-tap window down; windows are 'valid'.
    """
    total = fused.new_zeros(())
    for source in (infrared, visible):
        total = total + _vif(source * 255, fused * 255, scales).mean()
    return 2 - total


def _vif(reference: Tensor, distorted: Tensor, scales: int) -> Tensor:
    kept, possible = reference.new_zeros(reference.shape[0]), reference.new_zeros(reference.shape[0])
    for scale in range(scales):
        taps = 2 ** (4 - scale) + 1
        if scale > 0:
            both = _gauss(torch.cat((reference, distorted), dim=1), taps)[:, :, ::2, ::2]
            reference, distorted = both[:, :1], both[:, 1:]
        maps = torch.cat((reference, distorted, reference**2, distorted**2, reference * distorted), dim=1)
        mean_r, mean_d, rr, dd, rd = _gauss(maps, taps).split(1, dim=1)
        var_r, var_d = (rr - mean_r**2).clamp_min(0), (dd - mean_d**2).clamp_min(0)
        gain = ((rd - mean_r * mean_d) / (var_r + 1e-2)).clamp_min(0)
        noise = (var_d - gain * gain * var_r).clamp_min(1e-2)
        kept = kept + torch.log10(1 + gain**2 * var_r / (noise + 2)).sum(dim=(1, 2, 3))
        possible = possible + torch.log10(1 + var_r / 2).sum(dim=(1, 2, 3))
    return kept / (possible + 1.0)


def _gauss(maps: Tensor, taps: int) -> Tensor:
    """Separable 'valid' Gaussian of ``taps`` taps, sigma taps / 5, on each channel of (B, C, H, W)."""
    offsets = torch.arange(taps, dtype=maps.dtype, device=maps.device) - taps // 2
    weights = torch.exp(-(offsets**2) / (2 * (taps / 5) ** 2))
    weights = weights / weights.sum()
    channels = maps.shape[1]
    maps = F.conv2d(maps, weights.view(1, 1, 1, -1).expand(channels, 1, 1, -1), groups=channels)
    return F.conv2d(maps, weights.view(1, 1, -1, 1).expand(channels, 1, -1, 1), groups=channels)
