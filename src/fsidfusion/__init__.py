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
    from fsidfusion.errors import FusionError, InputError, MissingDependency, ModelError, NotEnoughMemory
    from fsidfusion.evaluation.evaluate import evaluate
    from fsidfusion.fusion.fuser import Fuser
    from fsidfusion.fusion.one_call import fuse
    from fsidfusion.network.checkpoint import load_model

_EXPORTS = {
    "fuse": "fsidfusion.fusion.one_call",
    "Fuser": "fsidfusion.fusion.fuser",
    "load_model": "fsidfusion.network.checkpoint",
    "evaluate": "fsidfusion.evaluation.evaluate",
    "FusionError": "fsidfusion.errors",
    "InputError": "fsidfusion.errors",
    "MissingDependency": "fsidfusion.errors",
    "ModelError": "fsidfusion.errors",
    "NotEnoughMemory": "fsidfusion.errors",
}
__all__ = [
    "DEFAULT_MODEL",
    "Fuser",
    "FusionError",
    "InputError",
    "MissingDependency",
    "ModelError",
    "NotEnoughMemory",
    "__version__",
    "evaluate",
    "fuse",
    "load_model",
]


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        return getattr(import_module(_EXPORTS[name]), name)
    raise AttributeError(f"module 'fsidfusion' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
