"""The fusion itself: one pipeline for arrays, files, video frames and slices of volumes.

``pipeline`` has the steps in their order, ``plan`` what the user asked for, ``fuser`` the model; ``calls``,
``files``, ``video`` and ``volumes`` bring pictures to them and take results away. What is promised stands
in ``fsidfusion`` itself.
"""

from typing import TYPE_CHECKING

from fsidfusion._lazy import lazily

if TYPE_CHECKING:
    from fsidfusion.fusion.files import Outcome, fuse_pairs
    from fsidfusion.fusion.pipeline import Fusion, Memory, Pipeline, Still
    from fsidfusion.fusion.rules import RULES

__all__ = ["RULES", "Fusion", "Memory", "Outcome", "Pipeline", "Still", "fuse_pairs"]
__getattr__, __dir__ = lazily(
    __name__,
    {
        "files": ("Outcome", "fuse_pairs"),
        "pipeline": ("Fusion", "Memory", "Pipeline", "Still"),
        "rules": ("RULES",),
    },
)
