"""What computes a network on this machine: torch, OpenVINO, ONNX Runtime; memory, tiles, export.

:func:`load_runtime` takes what suits the machine; every one of them is a :class:`Runtime`. ``passes`` takes
images through it, as a whole or in tiles.
"""

from typing import TYPE_CHECKING

from fsidfusion._lazy import lazily

if TYPE_CHECKING:
    from fsidfusion.runtime.device import choose_device, format_bytes, free_memory, parse_bytes
    from fsidfusion.runtime.interface import Runtime, Traits
    from fsidfusion.runtime.passes import LumaFuser, tiled, whole
    from fsidfusion.runtime.runtimes import load_runtime
    from fsidfusion.runtime.tiles import Frame

__all__ = [
    "Frame",
    "LumaFuser",
    "Runtime",
    "Traits",
    "choose_device",
    "format_bytes",
    "free_memory",
    "load_runtime",
    "parse_bytes",
    "tiled",
    "whole",
]
__getattr__, __dir__ = lazily(
    __name__,
    {
        "device": ("choose_device", "format_bytes", "free_memory", "parse_bytes"),
        "interface": ("Runtime", "Traits"),
        "passes": ("LumaFuser", "tiled", "whole"),
        "runtimes": ("load_runtime",),
        "tiles": ("Frame",),
    },
)
