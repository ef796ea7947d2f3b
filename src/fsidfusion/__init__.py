"""FSIDFusion: infrared-visible and medical image fusion.

The public API is imported on first use, so that ``import fsidfusion`` itself stays cheap:

    >>> import numpy as np
    >>> import fsidfusion
    >>> infrared = np.zeros((48, 64), np.uint8)
    >>> visible = np.full((48, 64, 3), 90, np.uint8)
    >>> fsidfusion.fuse(infrared, visible).shape
    (48, 64, 3)
"""

from fsidfusion._lazy import lazily

TYPE_CHECKING = False  # typing's: its import would take longer than all of this
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
    from fsidfusion.network.checkpoint import load_model
    from fsidfusion.network.names import models

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
__getattr__, __dir__ = lazily(
    __name__,
    {
        "fusion.calls": (
            "fuse",
            "fuse_files",
            "fuse_volumes",
            "estimate_alignment",
            "score",
        ),
        "fusion.fuser": ("Fuser",),
        "fusion.plan": ("Plan",),
        "fusion.video": ("fuse_video",),
        "evaluation.evaluate": ("evaluate",),
        "network.checkpoint": ("load_model",),
        "network.names": ("models",),
        "errors": (
            "FusionError",
            "InputError",
            "MissingDependency",
            "ModelError",
            "NotEnoughMemory",
        ),
    },
    also=("DEFAULT_MODEL", "__version__"),
)
