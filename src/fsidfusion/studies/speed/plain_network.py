"""The published network written down plainly, to compare with: eager, whole tensors, one image at a time.

It takes the weights of :class:`FSIDFusion` and computes the same function. No convolutions are joined or
parted, nothing is computed in bands, and each modality passes the encoder by itself.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fsidfusion.network.blocks import ChannelAttention, CouplingNode, GatedFeedForward, TransformerBlock
from fsidfusion.network.fsidfusion import FSIDFusion


class PlainFSIDFusion(nn.Module):
    """The published network in its plain form; see :class:`FSIDFusion` for what goes in and out."""

    def __init__(self, network: FSIDFusion) -> None:
        """Share the weights of ``network``."""
        super().__init__()
        self.network = network
        self.architecture = "fsidfusion, plain"
        self.config = network.config

    def forward(self, infrared: Tensor, visible: Tensor) -> Tensor:
        """The fused image (B, 1, H, W) of two images (B, 1, H, W), 0..1."""
        shared, infrared_specific, visible_specific = self._features(infrared, visible)
        specific = _couple_all(self.network.specific_fusion, visible_specific + infrared_specific)
        return self._decode(shared, specific, visible)

    def fuse_and_reconstruct(self, infrared: Tensor, visible: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The fused image and both reconstructions, each decoded by itself."""
        shared, infrared_specific, visible_specific = self._features(infrared, visible)
        specific = _couple_all(self.network.specific_fusion, visible_specific + infrared_specific)
        return (
            self._decode(shared, specific, visible),
            self._decode(shared, infrared_specific, infrared),
            self._decode(shared, visible_specific, visible),
        )

    def _features(self, infrared: Tensor, visible: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        encoder = self.network.encoder
        infrared_features, visible_features = self._encode(infrared), self._encode(visible)
        shared = self._interact(
            _transform(encoder.infrared_shared, infrared_features),
            _transform(encoder.visible_shared, visible_features),
        )
        infrared_specific = _couple_all(encoder.infrared_specific, infrared_features)
        return shared, infrared_specific, _couple_all(encoder.visible_specific, visible_features)

    def _decode(self, shared: Tensor, specific: Tensor, skip: Tensor) -> Tensor:
        decoder = self.network.decoder
        x = decoder.merge(torch.cat((shared, specific), 1))
        for block in decoder.blocks:
            x = _transform(block, x)
        return torch.sigmoid(decoder.output(F.leaky_relu(decoder.reduce(x), 0.01)) + skip)

    def _encode(self, image: Tensor) -> Tensor:
        x = self.network.encoder.embedding(image)
        for block in self.network.encoder.blocks:
            x = _transform(block, x)
        return x

    def _interact(self, infrared: Tensor, visible: Tensor) -> Tensor:
        part = self.network.encoder.interaction
        a, b = _transform(part.infrared_in, infrared), _transform(part.visible_in, visible)
        b = b + part.phi(a)
        a = a * torch.exp(part.rho(b)) + part.eta(b)
        p, q = _transform(part.infrared_out, a), _transform(part.visible_out, b)
        both = p + q
        everywhere = part.gate.global_branch(F.adaptive_avg_pool2d(both, 1))
        mask = torch.sigmoid(part.gate.local_branch(both) + everywhere)
        return 2 * p * mask + 2 * q * (1 - mask)


def _transform(block: nn.Module, x: Tensor) -> Tensor:
    assert isinstance(block, TransformerBlock)
    x = x + _attend(block.attention, block.attention_norm(x))
    return x + _feed_forward(block.feed_forward, block.feed_forward_norm(x))


def _attend(attention: ChannelAttention, x: Tensor) -> Tensor:
    height, width = x.shape[2:]
    mixed = attention.qkv(x)
    groups = 1 if attention.dense else mixed.shape[1]
    qkv = F.conv2d(mixed, attention.qkv_spatial.weight, padding=1, groups=groups)
    q, k, v = (part.unflatten(1, (attention.heads, -1)).flatten(3) for part in qkv.chunk(3, 1))
    q, k = F.normalize(q, dim=-1), F.normalize(k, dim=-1)  # (B, heads, C / heads, H W)
    weights = (q @ k.transpose(-2, -1) * attention.temperature).softmax(-1)
    return attention.project((weights @ v).flatten(1, 2).unflatten(2, (height, width)))


def _feed_forward(part: GatedFeedForward, x: Tensor) -> Tensor:
    first, second = part.spatial(part.expand(x)).chunk(2, 1)
    return part.project(F.gelu(first) * second)


def _couple_all(nodes: nn.Sequential, x: Tensor) -> Tensor:
    for node in nodes:
        assert isinstance(node, CouplingNode)
        first, second = node.mix(x).chunk(2, 1)
        second = second + node.phi(first)
        first = first * torch.exp(node.rho(second)) + node.eta(second)
        x = torch.cat((first, second), 1)
    return x
