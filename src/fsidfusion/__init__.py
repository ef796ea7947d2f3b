"""FSIDFusion: infrared-visible and medical image fusion.

The public API is imported on first use, so that ``import fsidfusion`` itself stays cheap:

    >>> import numpy as np
    >>> import fsidfusion
    >>> infrared = np.zeros((48, 64), np.uint8)
    >>> visible = np.full((48, 64, 3), 90, np.uint8)
    >>> fsidfusion.fuse(infrared, visible).shape
    (48, 64, 3)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
DEFAULT_MODEL = "fsidfusion-light"  # the shipped network that is used where none is named

if TYPE_CHECKING:
    from fsidfusion.errors import (
        FusionError,
        InputError,
        MissingDependency,
        ModelError,
        NotEnoughMemory,
    )
    from fsidfusion.evaluation.evaluate import evaluate
    from fsidfusion.fusion.calls import (
        estimate_alignment,
        fuse,
        fuse_files,
        fuse_volumes,
        score,
    )
    from fsidfusion.fusion.fuser import Fuser
    from fsidfusion.fusion.plan import Plan
    from fsidfusion.fusion.video import fuse_video
    from fsidfusion.network.checkpoint import load_model, models

_EXPORTS = {
    # name: the module that it comes from
    "fuse": "fusion.calls",
    "Fuser": "fusion.fuser",
    "Plan": "fusion.plan",
    "fuse_files": "fusion.calls",
    "fuse_video": "fusion.video",
    "fuse_volumes": "fusion.calls",
    "estimate_alignment": "fusion.calls",
    "score": "fusion.calls",
    "evaluate": "evaluation.evaluate",
    "models": "network.checkpoint",
    "load_model": "network.checkpoint",
    "FusionError": "errors",
    "InputError": "errors",
    "MissingDependency": "errors",
    "ModelError": "errors",
    "NotEnoughMemory": "errors",
}
__all__ = [
    "DEFAULT_MODEL",
    "Fuser",
    "FusionError",
    "InputError",
    "MissingDependency",
    "ModelError",
    "NotEnoughMemory",
    "Plan",
    "__version__",
    "estimate_alignment",
    "evaluate",
    "fuse",
    "fuse_files",
    "fuse_video",
    "fuse_volumes",
    "load_model",
    "models",
    "score",
]


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        return getattr(import_module(f"fsidfusion.{_EXPORTS[name]}"), name)
    raise AttributeError(f"module 'fsidfusion' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
