"""Small networks that keep the promises of the real ones: sizes, context, statistics of the whole image."""

import torch
import torch.nn.functional as F
from torch import nn


class LocalNetwork(nn.Module):
    """Three convolutions on features at half the size: an output pixel sees 7 pixels around."""

    architecture = "local"
    size_multiple = 2
    minimum_size = 8
    tile_overlap = 8
    has_global_statistics = False

    def __init__(self, channels=6):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.ModuleList(
            nn.Conv2d(*io, 3, padding=1) for io in ((8, channels), (channels, channels), (channels, 4))
        )

    def forward(self, infrared, visible):
        assert infrared.shape[-2] % 2 == infrared.shape[-1] % 2 == 0
        assert min(infrared.shape[-2:]) >= 8
        x = F.pixel_unshuffle(torch.cat((infrared, visible), 1), 2)
        x = torch.relu(self.layers[0](x))
        x = torch.relu(self.layers[1](x))
        return torch.sigmoid(F.pixel_shuffle(self.layers[2](x), 2) * 4 + visible)


class GlobalNetwork(nn.Module):
    """Scales features by sums over the whole image, as channel attention does; otherwise pointwise."""

    architecture = "global"
    size_multiple = 1
    minimum_size = 2
    tile_overlap = 4
    has_global_statistics = True

    def forward(self, infrared, visible, statistics=None):
        def measure():
            pixels = infrared.shape[-2] * infrared.shape[-1]
            return (infrared.sum((2, 3)), visible.sum((2, 3)), infrared.new_full((len(infrared), 1), pixels))

        first, second, count = statistics.sums(len(infrared), measure) if statistics else measure()
        weights = torch.stack((first / count, second / count))[..., None, None]
        return (weights[0] * infrared + weights[1] * visible) / weights.sum(0).clamp(min=1e-6)
