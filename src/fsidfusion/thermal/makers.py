"""Files of makers whose temperatures nobody but their own software reads: named, with the way out."""

from pathlib import Path

from fsidfusion.images.exif import read_block

WAY_OUT = "save its temperatures as CSV or TIFF with {software}, which is read"

# extension: (maker, software)
_OWN_FORMATS = {
    ".is2": ("Fluke", "Fluke Connect or SmartView"),
    ".is3": ("Fluke", "Fluke Connect or SmartView"),
    ".bmt": ("Testo", "IRSoft"),
    ".ravi": ("Optris", "PIX Connect"),
    ".irb": ("InfraTec", "IRBIS"),
    ".irg": ("InfiRay", "InfiRay's software"),
    ".hrv": ("HIKMICRO", "HIKMICRO Analyzer"),
}
# a word in the make, the model or the software of EXIF: (maker, software)
_MAKERS = {
    "fluke": ("Fluke", "Fluke Connect or SmartView"),
    "testo": ("Testo", "IRSoft"),
    "seek thermal": ("Seek", "Seek's software"),
    "anafi thermal": ("Parrot", "Parrot's software"),
    "anafithermal": ("Parrot", "Parrot's software"),
    "anafi usa": ("Parrot", "Parrot's software"),
    "anafiusa": ("Parrot", "Parrot's software"),
    "optris": ("Optris", "PIX Connect"),
    "infiray": ("InfiRay", "InfiRay's software"),
    "hikmicro": ("HIKMICRO", "HIKMICRO Analyzer"),
    "topdon": ("Topdon", "Topdon's software"),
    "autel": ("Autel", "Autel's software"),
}
DJI_WAY_OUT = (
    "DJI's Thermal SDK alone knows what its counts mean: convert the file with it to a TIFF in degrees"
)
_TAGS = (271, 272, 305)  # make, model, software


def own_format(path: Path) -> str:
    """Why a file in a maker's own format cannot be read, and what to do; "" for any other file."""
    if path.suffix.lower() not in _OWN_FORMATS:
        return ""
    maker, software = _OWN_FORMATS[path.suffix.lower()]
    return f"{path} is in {maker}'s own format, which is not read; {WAY_OUT.format(software=software)}"


def shown_alone(exif: bytes | None) -> str:
    """The note for a maker's picture of which only what it shows is read; "" for any other.

    Args:
        exif: the block of the picture, as :func:`fsidfusion.images.exif.carried` gave it.
    """
    if not exif:
        return ""
    tags = read_block(exif)
    words = " ".join(str(tags[tag]) for tag in _TAGS if tag in tags).lower()
    for word, (maker, software) in _MAKERS.items():
        if word in words:
            way_out = WAY_OUT.format(software=software)
            return f"of {maker}'s file only the picture was read, not its temperatures: {way_out}"
    return ""
