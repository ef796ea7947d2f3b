"""The networks: the published one, the light one, and how their weights are stored.

A network is one ``nn.Module`` that takes infrared and visible luma, (B, 1, H, W) each, 0..1, and gives the
fused one; its file of weights says which network it is. Nothing here knows files of pictures, devices or
command lines.
"""

from typing import TYPE_CHECKING

from fsidfusion._lazy import lazily

if TYPE_CHECKING:
    from fsidfusion.network.checkpoint import build_model, import_published, load_model, save_weights
    from fsidfusion.network.fsidfusion import FSIDFusion
    from fsidfusion.network.light import LightFusion
    from fsidfusion.network.names import model_card, models, shipped_models, shipped_networks, suited

__all__ = [
    "FSIDFusion",
    "LightFusion",
    "build_model",
    "import_published",
    "load_model",
    "model_card",
    "models",
    "save_weights",
    "shipped_models",
    "shipped_networks",
    "suited",
]
__getattr__, __dir__ = lazily(
    __name__,
    {
        "checkpoint": ("build_model", "import_published", "load_model", "save_weights"),
        "fsidfusion": ("FSIDFusion",),
        "light": ("LightFusion",),
        "names": ("model_card", "models", "shipped_models", "shipped_networks", "suited"),
    },
)
