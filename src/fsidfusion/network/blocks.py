"""The parts that the published network is built of.

Feature maps are (B, C, H, W) at the full size of the image, best in ``torch.channels_last`` memory: there
normalisation, convolutions and attention run without a copy. Only two things look beyond a pixel's
neighbours, the attention matrices and the gate's average; both are functions of sums over pixels, which
``Statistics`` can record and replay. All else is local, and is computed in bands of rows where no gradient
is wanted.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial, reduce
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fsidfusion.network.statistics import Statistics, Sums

# The pixels of a band: few enough that its temporaries are small beside the feature maps of a photograph, and
# enough that neither the rows computed twice nor the number of calls cost much.
BAND_PIXELS = {"cpu": 1 << 16, "cuda": 1 << 21}


def _is_exporting() -> bool:
    """Whether the network is being traced or compiled: it then runs whole, without cases by size."""
    return torch.compiler.is_compiling() or torch.jit.is_tracing()


def full_precision(x: Tensor) -> torch.autocast:
    """Where images become features and features images: bfloat16 has 8 bits of mantissa, and so would the
    picture.

    What follows the embedding adds to its float32 features, so they stay float32; the work in between is
    bfloat16.
    """
    return torch.autocast(x.device.type, enabled=False)


def bands(x: Tensor, halo: int) -> Iterator[tuple[slice, slice, slice, slice]]:
    """Cut (B, C, H, W) into pieces: images, their rows, these with a halo, and the rows as counted in the
    latter.

    A piece is either whole images or rows of one. The batch stays whole, which ``slice(None)`` stands for,
    where it is small, where a gradient is wanted (nothing would be saved), and in an export.
    """
    B, _, H, W = x.shape
    pixels = BAND_PIXELS.get(x.device.type, BAND_PIXELS["cuda"])
    if torch.is_grad_enabled() or _is_exporting() or pixels >= B * H * W:
        yield (slice(None),) * 4
        return
    images, rows = max(1, pixels // (H * W)), max(8, pixels // W)
    for image in range(0, B, images):
        for top in range(0, H, rows):
            bottom = min(top + rows, H)
            start, stop = max(top - halo, 0), min(bottom + halo, H)
            inner = slice(top - start, bottom - start)
            yield slice(image, image + images), slice(top, bottom), slice(start, stop), inner


def in_bands(
    local: Callable[..., Tensor], halo: int, maps: Sequence[Tensor], per_image: Sequence[Tensor] = ()
) -> Tensor:
    """``local(*maps, *per_image)``, piece by piece; an output pixel may look ``halo`` pixels around.

    ``maps`` are (B, C, H, W) with B, H and W in common, also with the output; ``per_image`` are (B, ...).
    """
    out = None
    for images, rows, context, inner in bands(maps[0], halo):
        piece = local(*(x[images, :, context] for x in maps), *(x[images] for x in per_image))
        if images == slice(None):
            return piece
        if out is None:
            size = (len(maps[0]), piece.shape[1], *maps[0].shape[2:])
            out = torch.empty(size, dtype=piece.dtype, device=piece.device, memory_format=torch.channels_last)
        out[images, :, rows] = piece[:, :, inner]
    assert out is not None
    return out


class _Within(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, low: float, high: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.low, ctx.high = low, high
        return x.clamp(low, high)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (x,), (grad,) = ctx.saved_tensors, grads
        stuck = (x < ctx.low) & (grad > 0) | (x > ctx.high) & (grad < 0)
        return grad.masked_fill(stuck, 0.0), None, None


def within(x: Tensor, low: float, high: float) -> Tensor:
    """Clip to low..high; the gradient passes where it leads back into the range.

    A plain clip has no gradient outside the range: what once was pushed there would stay for good.
    """
    if torch.is_grad_enabled() and not _is_exporting():
        return torch.as_tensor(_Within.apply(x, low, high))
    return x.clamp(low, high)


class LayerNorm(nn.LayerNorm):
    """Layer normalisation over the channels of each pixel, (B, C, H, W) -> (B, C, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise; free of copies where x is channels_last."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ChannelAttention(nn.Module):
    """Attention between channels: MDTA of Restormer (Zamir et al., CVPR 2022, eq. 1).

    A head's matrix is softmax(temperature * cos(q, k)) over its C/heads channels, the angle taken along all
    pixels. With ``dense`` the 3x3 convolution of q, k and v is a full one, as in the Lite-Transformer
    block.
    """

    def __init__(self, channels: int, heads: int, dense: bool) -> None:
        super().__init__()
        self.channels, self.heads, self.dense = channels, heads, dense
        qkv = 3 * channels
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.qkv = nn.Conv2d(channels, qkv, 1, bias=False)
        self.qkv_spatial = nn.Conv2d(qkv, qkv, 3, padding=1, groups=1 if dense else qkv, bias=False)
        self.project = nn.Conv2d(channels, channels, 1, bias=False)

    def _convolve(self, x: Tensor, part: slice) -> Tensor:
        """The channels ``part`` of (q, k, v), each (B, C, H, W)."""
        pointwise, spatial = self.qkv.weight, self.qkv_spatial.weight[part]
        if self.dense:  # 1x1 then full 3x3, both linear and without bias, are one 3x3 of a third of the work
            with full_precision(x):
                both = torch.einsum("oqyx,qi->oiyx", spatial, pointwise[:, :, 0, 0])
            return F.conv2d(x, both, padding=1)
        return F.conv2d(F.conv2d(x, pointwise[part]), spatial, padding=1, groups=len(spatial))

    def measure(self, x: Tensor) -> Sums:
        """Sums over the pixels of each image, in float32: q k^T (B, C, C), q^2 (B, C) and k^2 (B, C)."""
        pieces = []  # q and k are only ever held for a band
        for images, _, context, inner in bands(x, halo=1):
            qk = self._convolve(x[images, :, context], slice(2 * self.channels))[:, :, inner].flatten(2)
            q, k = qk.chunk(2, 1)
            # a single pair as plain matrices: in bfloat16 several times faster than as a batch of one
            k = k.transpose(1, 2)
            gram = q @ k if _is_exporting() or q.shape[0] > 1 else (q[0] @ k[0])[None]
            pieces.append((gram.float(), *qk.square().sum(2, dtype=torch.float32).chunk(2, 1)))
        return tuple(torch.cat(parts).unflatten(0, (x.shape[0], -1)).sum(1) for parts in zip(*pieces))

    def matrix(self, sums: Sums) -> Tensor:
        """The matrices of all heads, and the projection that follows them, as one (B, C, C) matrix."""
        qk, qq, kk = sums
        n, c = self.heads, self.channels // self.heads
        # the bound is below the root: the root's slope at 0 is infinite, and would make gradients NaN
        norms = qq.clamp_min(1e-24).sqrt()[:, :, None] * kk.clamp_min(1e-24).sqrt()[:, None, :]
        cosines = qk / norms
        heads = [cosines[:, i : i + c, i : i + c] for i in range(0, n * c, c)]
        cosines = torch.stack(heads, 1)  # (B, n, c, c)
        attention = (cosines * self.temperature).softmax(-1)
        project = self.project.weight.view(-1, n, c).float()
        return torch.einsum("onc,bncd->bond", project, attention.float()).flatten(2)

    def forward(self, x: Tensor, matrix: Tensor) -> Tensor:
        """Apply ``matrix`` (B, C, C) to v: (B, C, H, W) -> (B, C, H, W)."""
        v = self._convolve(x, slice(2 * self.channels, None))
        matrix = matrix.to(v.dtype)
        if _is_exporting() or v.shape[0] > 1:
            return (matrix @ v.flatten(2)).view_as(v)
        return F.conv2d(v, matrix[0, :, :, None, None])  # the same, several times faster on a processor


class GatedFeedForward(nn.Module):
    """1x1 C -> 2 hidden, grouped 3x3, gelu(half) * other half, 1x1 hidden -> C: GDFN (Restormer, eq. 2)."""

    def __init__(self, channels: int, hidden: int, groups: int) -> None:
        super().__init__()
        self.expand = nn.Conv2d(channels, 2 * hidden, 1, bias=False)
        self.spatial = nn.Conv2d(2 * hidden, 2 * hidden, 3, padding=1, groups=groups, bias=False)
        self.project = nn.Conv2d(hidden, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        first, second = (slice(self.project.in_channels), slice(self.project.in_channels, None))
        # each half apart: element-wise functions are slow on a slice of the channels
        return self.project(F.gelu(self._expand(x, first)) * self._expand(x, second))

    def _expand(self, x: Tensor, half: slice) -> Tensor:
        """Both convolutions, for half of their outputs.

        A 3x3 in groups of n channels is a sum of n depthwise ones, several times faster on a processor:
        output j of a group takes, one after the other, the inputs j, j + 1, ... (cyclically) of its group.
        """
        n = self.spatial.weight.shape[1]
        pointwise = self.expand.weight[half].unflatten(0, (-1, n))  # (groups, n, C, 1, 1)
        spatial = self.spatial.weight[half].unflatten(0, (-1, n))  # (groups, n outputs, n inputs, 3, 3)
        terms = []
        for shift in range(n):
            inputs = [(output + shift) % n for output in range(n)]
            depthwise = spatial[:, range(n), inputs].flatten(0, 1)[:, None]
            y = F.conv2d(x, pointwise[:, inputs].flatten(0, 1))
            terms.append(F.conv2d(y, depthwise, padding=1, groups=len(depthwise)))
        return reduce(torch.add, terms)


class TransformerBlock(nn.Module):
    """x + attention(LN x), then x + feed-forward(LN x).

    A Restormer block, or with ``dense`` a Lite-Transformer one: full 3x3 in the attention, narrower feed-
    forward.
    """

    def __init__(self, channels: int, heads: int, dense: bool = False) -> None:
        super().__init__()
        self.attention_norm = LayerNorm(channels)
        self.attention = ChannelAttention(channels, heads, dense)
        self.feed_forward_norm = LayerNorm(channels)
        hidden, groups = (channels, channels) if dense else (2 * channels, 4 * channels)
        self.feed_forward = GatedFeedForward(channels, hidden, groups)

    def forward(self, x: Tensor, statistics: Statistics | None = None) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        normal = self.attention_norm(x)
        measure = partial(self.attention.measure, normal)
        sums = measure() if statistics is None else statistics.sums(len(x), measure)
        return in_bands(self._mix, 2, (x, normal), (self.attention.matrix(sums),))

    def _mix(self, x: Tensor, normal: Tensor, matrix: Tensor) -> Tensor:
        x = x + self.attention(normal, matrix)
        return x + self.feed_forward(self.feed_forward_norm(x))


class Bottleneck(nn.Module):
    """1x1 C -> 2C, ReLU6, reflection-padded depthwise 3x3, ReLU6, 1x1 2C -> C: phi, rho or eta."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.expand = nn.Conv2d(channels, 2 * channels, 1, bias=False)
        self.spatial = nn.Conv2d(2 * channels, 2 * channels, 3, groups=2 * channels, bias=False)
        self.project = nn.Conv2d(2 * channels, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W), H and W at least 2."""
        x = F.pad(x, (1, 1, 1, 1), mode="reflect")  # here, where it is narrowest
        x = F.relu6(self.expand(x), inplace=True)
        return self.project(F.relu6(self.spatial(x), inplace=True))


class CouplingNode(nn.Module):
    """A 1x1 mixing, then an affine coupling of both halves of the channels (Dinh et al., ICLR 2017)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(channels, channels, 1)
        self.phi, self.rho, self.eta = (Bottleneck(channels // 2) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        return in_bands(self._couple, 2, (x,))

    def _couple(self, x: Tensor) -> Tensor:
        assert self.mix.bias is not None
        halves = zip(self.mix.weight.chunk(2), self.mix.bias.chunk(2))
        first, second = (F.conv2d(x, weight, bias) for weight, bias in halves)  # each (B, C/2, H, W)
        second = second + self.phi(first)
        first = first * self.rho(second).exp() + self.eta(second)
        return torch.cat((first, second), 1)


class BatchNorm(nn.BatchNorm2d):
    """Batch normalisation that trains with any batch.

    Where a channel has one value (the gate's global branch, batch size 1) there is no variance to divide by:
    the running statistics stand in, and are left as they are.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        if self.training and x.numel() == x.shape[1]:
            return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        return super().forward(x)


class Squeeze(nn.Module):
    """1x1 C -> C/4, BatchNorm, ReLU, 1x1 C/4 -> C, BatchNorm: one branch of the gate."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, channels // 4, 1)
        self.reduce_norm = BatchNorm(channels // 4)
        self.expand = nn.Conv2d(channels // 4, channels, 1)
        self.expand_norm = BatchNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        return self.expand_norm(self.expand(F.relu(self.reduce_norm(self.reduce(x)))))


class Gate(nn.Module):
    """A soft choice between two feature maps for each pixel and channel: AFF of Dai et al., WACV 2021."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.local_branch = Squeeze(channels)
        self.global_branch = Squeeze(channels)

    def forward(self, p: Tensor, q: Tensor, statistics: Statistics | None = None) -> Tensor:
        """2 p m + 2 q (1 - m) with m = sigmoid(local(p + q) + global(mean(p + q))); all (B, C, H, W)."""
        measure = partial(self._measure, p, q)
        total, pixels = measure() if statistics is None else statistics.sums(len(p), measure)
        per_image = self.global_branch((total / pixels).to(p.dtype))
        if self.training:  # batch normalisation wants the whole batch
            return self._join(p, q, per_image)
        return in_bands(self._join, 0, (p, q), (per_image,))

    def _measure(self, p: Tensor, q: Tensor) -> Sums:
        total = (p.sum((2, 3), dtype=torch.float32) + q.sum((2, 3), dtype=torch.float32))[:, :, None, None]
        return total, torch.full_like(total, p.shape[2] * p.shape[3])

    def _join(self, p: Tensor, q: Tensor, per_image: Tensor) -> Tensor:
        mask = torch.sigmoid(self.local_branch(p + q) + per_image)
        return 2 * (q + (p - q) * mask)
