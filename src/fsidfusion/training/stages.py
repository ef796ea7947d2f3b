"""The two training stages: what one step computes, from a batch of pairs to weighted loss terms.

Images are (B, 1, H, W) in 0..1; a stage returns its terms, already weighted, to be summed.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from fsidfusion.training import objectives
from fsidfusion.training.presets import TrainConfig


def reconstruct(
    network: nn.Module, infrared: Tensor, visible: Tensor, config: TrainConfig
) -> dict[str, Tensor]:
    """Stage I: encode each modality, decode it again, compare (the fusion path is not used)."""
    infrared_hat, visible_hat = network.reconstruct(infrared, visible)  # type: ignore[operator]
    with _full_precision(infrared):
        return objectives.stage_one_loss(infrared, visible, infrared_hat.float(), visible_hat.float())


def fuse(network: nn.Module, infrared: Tensor, visible: Tensor, config: TrainConfig) -> dict[str, Tensor]:
    """Stage II: fuse, compare with both sources, and hold the features to reconstruction against drift."""
    if config.reconstruction_weight == 0:
        fused = network(infrared, visible)
        with _full_precision(infrared):
            return fusion_losses(fused.float(), infrared, visible, config)
    fused, infrared_hat, visible_hat = network.fuse_and_reconstruct(infrared, visible)  # type: ignore[operator]
    with _full_precision(infrared):
        terms = fusion_losses(fused.float(), infrared, visible, config)
        held = objectives.stage_one_loss(infrared, visible, infrared_hat.float(), visible_hat.float())
    return terms | {name: config.reconstruction_weight * term for name, term in held.items()}


def _full_precision(image: Tensor) -> torch.autocast:
    """Losses take differences of large sums; under bf16 autocast they would be noise."""
    return torch.autocast(image.device.type, enabled=False)


def fusion_losses(fused: Tensor, infrared: Tensor, visible: Tensor, config: TrainConfig) -> dict[str, Tensor]:
    """The weighted terms that ``config.losses`` names, of `presets.LOSSES`; ``published`` stands for two.

    The fused image is clipped to 0..1 first, as it will be shown: overshoot must not earn anything.
    """
    images = (objectives.as_shown(fused), infrared, visible)
    available: dict[str, Callable[[], Tensor | dict[str, Tensor]]] = {
        "published": lambda: objectives.published_fusion_loss(*images),
        "intensity": lambda: objectives.intensity_loss(*images, config.lift, config.corner),
        "calm": lambda: objectives.calm_intensity_loss(*images, config.lift, config.corner),
        "tones": lambda: objectives.crushed_tones_loss(*images),
        "regions": lambda: objectives.regional_intensity_loss(*images, lift=config.lift),
        "gradient": lambda: objectives.signed_gradient_loss(*images, gain=config.gradient_gain),
        "ssim": lambda: objectives.weighted_ssim_loss(*images),
        "edges": lambda: objectives.edge_transfer_loss(*images),
        "information": lambda: objectives.visual_information_loss(*images),
    }
    terms: dict[str, Tensor] = {}
    for name, weight in config.losses.items():
        term = available[name]()
        if isinstance(term, dict):
            terms |= {f"{name}_{part}": weight * value for part, value in term.items()}
        else:
            terms[name] = weight * term
    return terms
