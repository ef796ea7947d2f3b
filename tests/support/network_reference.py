"""The reference values of the published network, and small networks to test with."""

import json
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fsidfusion.network.checkpoint import from_published
from fsidfusion.network.fsidfusion import FSIDFusion


def reference_checkpoint(golden_root: Path) -> dict[str, dict[str, Tensor]]:
    """A published checkpoint whose values follow the rule of the reference."""
    shapes = json.loads((golden_root / "network.json").read_text())["parameters"]
    parts: dict[str, dict[str, Tensor]] = {}
    for name, shape in shapes.items():
        part, _, rest = name.partition(".")
        values = torch.from_numpy(_fill(name, shape))
        counts = rest.endswith("num_batches_tracked")
        parts.setdefault(part, {})[f"module.{rest}"] = values.long() if counts else values
    return parts


def _fill(name: str, shape: list[int]) -> np.ndarray:
    x = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape)
    if len(shape) == 4:
        return np.asarray(0.7 * x / np.sqrt(np.prod(shape[1:])), np.float32)
    return np.asarray(0.05 * x if name.endswith("bias") else 1 + 0.1 * x, np.float32)


def reference_network(golden_root: Path) -> FSIDFusion:
    """The published network with the values of the reference, in evaluation mode."""
    return from_published(reference_checkpoint(golden_root))


def small_network(seed: int = 0) -> FSIDFusion:
    """A network of 16 channels with one block, in evaluation mode, filled as the reference is."""
    torch.manual_seed(seed)
    network = FSIDFusion(channels=16, blocks=1).eval()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            x = torch.randn(parameter.shape)
            if parameter.dim() == 4:
                parameter.copy_(0.7 * x / parameter[0].numel() ** 0.5)
            else:
                parameter.copy_(0.05 * x if name.endswith("bias") else 1 + 0.1 * x)
    return network


def pair(height: int, width: int, batch: int = 1, seed: int = 0) -> tuple[Tensor, Tensor]:
    """An infrared and a visible batch of smooth random images, (batch, 1, height, width) in 0..1."""
    random = torch.Generator().manual_seed(seed)
    coarse = torch.rand((2 * batch, 1, height // 8 + 2, width // 8 + 2), generator=random)
    fine = torch.rand((2 * batch, 1, height, width), generator=random)
    smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear")
    infrared, visible = (0.8 * smooth + 0.2 * fine).chunk(2)
    return infrared, visible
