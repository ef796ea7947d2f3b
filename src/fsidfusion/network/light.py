"""The light network: the published idea at a two-hundredth of its cost, for real time on a laptop.

Both modalities pass one shared stem at half resolution; their features are split into a shared and a specific
half; the shared halves interact through an affine coupling, as in the published network; a few residual
convolutions decode all of them to a change of the pixel-wise maximum. Convolutions only: no attention, no
statistics of the whole image, so that tiles are exact and every runtime is fast.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fsidfusion.network.blocks import full_precision

SLOPE = 0.1  # of the leaky rectifiers; with plain ones the change of the maximum tends to die at its start


class LightFusion(nn.Module):
    """Fuse infrared and visible images, (B, 1, H, W) each, 0..1, H and W even.

    50 k parameters and 3.85 GMAC for a 480x640 pair with the default arguments.
    """

    architecture = "fsidfusion-light"
    size_multiple = 2  # pixel-unshuffle
    minimum_size = 2
    has_global_statistics = False

    def __init__(self, channels: int = 16, width: int = 32, blocks: int = 2) -> None:
        """``channels`` (even) of each modality; ``width`` and residual ``blocks`` of the decoder."""
        super().__init__()
        self.config = {"channels": channels, "width": width, "blocks": blocks}
        self.stem = nn.Conv2d(4, channels, 3, padding=1)
        self.interaction = Coupling(channels // 2)
        self.merge = nn.Conv2d(2 * channels, width, 3, padding=1)
        self.decoder = nn.Sequential(*(Residual(width) for _ in range(blocks)))
        self.output = nn.Conv2d(width, 4, 3, padding=1)
        # each 3x3 convolution sees two pixels further: stem, coupling 2, merge, blocks, output
        self.tile_overlap = 2 * (1 + 2 + 1 + 2 * blocks + 1)
        nn.init.normal_(self.output.weight, std=0.01)  # start near the pixel-wise maximum

    def forward(self, infrared: Tensor, visible: Tensor) -> Tensor:
        """The fused image (B, 1, H, W), nominally 0..1: a change of the maximum may leave it a little."""
        with full_precision(infrared):  # rounding pixels to bfloat16 would alone cost up to 5 grey levels
            x = self.merge(self.features(infrared, visible))  # (B, width, H/2, W/2)
        return torch.maximum(infrared, visible) + self.decode(x)  # (B, 1, H, W)

    def features(self, infrared: Tensor, visible: Tensor) -> Tensor:
        """Shared and specific features of both images after their interaction, (B, 2C, H/2, W/2)."""
        pair = F.pixel_unshuffle(torch.cat((infrared, visible)), 2)  # (2B, 4, H/2, W/2)
        infrared_features, visible_features = F.leaky_relu(self.stem(pair), SLOPE).chunk(2)
        infrared_shared, infrared_specific = infrared_features.chunk(2, 1)  # (B, C/2, H/2, W/2) each
        visible_shared, visible_specific = visible_features.chunk(2, 1)
        infrared_shared, visible_shared = self.interaction(infrared_shared, visible_shared)
        return torch.cat((infrared_shared, visible_shared, infrared_specific, visible_specific), 1)

    def decode(self, x: Tensor) -> Tensor:
        """From merged features (B, width, H/2, W/2) to the change of the pixel-wise maximum, (B, 1, H, W)."""
        x = self.decoder(F.leaky_relu(x, SLOPE))  # (B, width, H/2, W/2)
        return F.pixel_shuffle(self.output(F.leaky_relu(x, SLOPE)), 2)


class Coupling(nn.Module):
    """Affine coupling of two feature maps: b += phi(a); a = a * exp(tanh(rho(b))) + eta(b). Invertible."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.phi, self.rho, self.eta = (nn.Conv2d(channels, channels, 3, padding=1) for _ in range(3))

    def forward(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, H, W) each, in and out."""
        b = b + self.phi(a)
        a = a * torch.exp(torch.tanh(self.rho(b))) + self.eta(b)
        return a, b

    def inverse(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        """What went into ``forward``."""
        a = (a - self.eta(b)) * torch.exp(-torch.tanh(self.rho(b)))
        return a, b - self.phi(a)


class Residual(nn.Module):
    """x + conv(act(conv(x))), both 3x3."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        return x + self.second(F.leaky_relu(self.first(x), SLOPE))
