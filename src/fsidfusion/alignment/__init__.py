"""How an infrared picture lies on a visible one: estimate it, keep it in a file, apply it, measure it.

The estimate itself is :func:`fsidfusion.alignment.estimate.estimate`, or ``fsidfusion.estimate_alignment``
for a pair of arrays; an :class:`Alignment` takes visible pixels to infrared ones.
"""

from typing import TYPE_CHECKING

from fsidfusion._lazy import lazily

if TYPE_CHECKING:
    from fsidfusion.alignment.files import align_by_points, align_files
    from fsidfusion.alignment.stream import AlignmentStream
    from fsidfusion.alignment.transform import Alignment, read_align, read_alignment, write_alignment
    from fsidfusion.alignment.warp import Aligned, align_pair

__all__ = [
    "Aligned",
    "Alignment",
    "AlignmentStream",
    "align_by_points",
    "align_files",
    "align_pair",
    "read_align",
    "read_alignment",
    "write_alignment",
]
__getattr__, __dir__ = lazily(
    __name__,
    {
        "files": ("align_by_points", "align_files"),
        "stream": ("AlignmentStream",),
        "transform": ("Alignment", "read_align", "read_alignment", "write_alignment"),
        "warp": ("Aligned", "align_pair"),
    },
)
