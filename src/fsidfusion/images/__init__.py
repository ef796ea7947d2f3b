"""Pictures as arrays and files: formats, depths, sizes, metadata, pairs of files; no knowledge of fusion.

Read with :func:`read_picture`, write with :func:`write_picture`; arrays are (H, W) or (H, W, 3), uint8,
uint16 or float 0..1. ``pairs`` finds what belongs together, ``atomic`` is the one way in which any file is
written, and ``degrade`` spoils pictures on purpose.
"""

from typing import TYPE_CHECKING

from fsidfusion._lazy import lazily

if TYPE_CHECKING:
    from fsidfusion.images.atomic import whole_file, write_text
    from fsidfusion.images.files import (
        Header,
        Picture,
        decode_picture,
        read_header,
        read_picture,
        write_picture,
    )
    from fsidfusion.images.output_range import Range, RangeMode, apply_range, find_range
    from fsidfusion.images.pairs import Matches, Pair, match_pairs
    from fsidfusion.images.pixels import Luma, Pixels, PixelsLike, luma, quantise, recolour, resize, unit
    from fsidfusion.images.sets import PairSet, find_sets, open_set
    from fsidfusion.images.sheet import Labelled, contact_sheet

__all__ = [
    "Header",
    "Labelled",
    "Luma",
    "Matches",
    "Pair",
    "PairSet",
    "Picture",
    "Pixels",
    "PixelsLike",
    "Range",
    "RangeMode",
    "apply_range",
    "contact_sheet",
    "decode_picture",
    "find_range",
    "find_sets",
    "luma",
    "match_pairs",
    "open_set",
    "quantise",
    "read_header",
    "read_picture",
    "recolour",
    "resize",
    "unit",
    "whole_file",
    "write_picture",
    "write_text",
]
__getattr__, __dir__ = lazily(
    __name__,
    {
        "atomic": ("whole_file", "write_text"),
        "files": ("Header", "Picture", "decode_picture", "read_header", "read_picture", "write_picture"),
        "output_range": ("Range", "RangeMode", "apply_range", "find_range"),
        "pairs": ("Matches", "Pair", "match_pairs"),
        "sets": ("PairSet", "find_sets", "open_set"),
        "pixels": ("Luma", "Pixels", "PixelsLike", "luma", "quantise", "recolour", "resize", "unit"),
        "sheet": ("Labelled", "contact_sheet"),
    },
)
