"""What one run of the fusion does: every option, parsed and checked once, and then only read."""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

from fsidfusion.alignment.transform import Alignment
from fsidfusion.errors import InputError
from fsidfusion.images.encode import JPEG_QUALITY, Bits
from fsidfusion.images.files import MAX_PIXELS
from fsidfusion.images.pairs import Task
from fsidfusion.thermal.gain import Gain, parse_gain
from fsidfusion.thermal.measure import Measuring
from fsidfusion.thermal.palettes import palette
from fsidfusion.thermal.scene import Thermal

MIN_WIDTH = 16  # pixels, below which nothing is scaled down
Color = Literal["auto", "visible", "infrared", "gray", "heat"]
Style = Literal["fused", "overlay"]


@dataclass(frozen=True)
class Plan:
    """How pairs are fused; the same for a pair of arrays or files, a video frame and a slice of a volume.

    In the medical task MRI takes the visible place and CT, PET or SPECT the infrared one.

    Raises:
        InputError: an option that is unknown, or does not go with another.
    """

    task: Task = "thermal"  # decides what levels, colours and weights mean
    color: str = "auto"  # a Color, whose chroma is carried (auto: visible, and in the medical task infrared),
    # or thermal:PALETTE, infrared in a palette under the edges of the visible picture
    style: Style = "fused"  # overlay: CT, PET or SPECT laid on the MRI by its own values, without the model
    thermal: Thermal = Thermal()  # what infrared pictures hold, their gain, and hot targets
    agc_visible: str = "off"  # gain of visible pictures: off, linear, plateau, clahe, window:LOW..HIGH
    align: Alignment | Literal["auto"] | None = None  # how infrared lies on visible; auto: estimated
    crop: bool = False  # the aligned result to what both pictures fill
    resize: bool = False  # resample the infrared picture to the visible one's size, where they differ
    bits: Bits = "auto"  # of a written result; auto: 16 where one of the sources has more than 8
    quality: int = JPEG_QUALITY  # of JPEG, 1 to 100
    crf: int = 18  # constant rate factor of video, 0 (no loss) to 51
    max_width: int | None = None  # pixels: wider visible pictures are scaled down, and the result with them
    overwrite: bool = False  # else what exists is skipped
    measuring: Measuring = Measuring()  # what is told of temperatures
    max_pixels: int = MAX_PIXELS  # of a source file; larger ones are refused by their headers

    def __post_init__(self) -> None:
        if self.style not in get_args(Style):
            raise InputError(f"style {self.style!r} is unknown; choose one of {', '.join(get_args(Style))}")
        if self.style == "overlay" and self.task != "medical":
            raise InputError("the style overlay is for medical pairs; leave out `style` overlay")
        if self.thermal_palette is not None:
            palette(self.thermal_palette)
        for name, kinds in (("task", Task), ("color", Color)):
            if getattr(self, name) not in get_args(kinds) and not (name == "color" and self.thermal_palette):
                known = ", ".join((*get_args(kinds), *(["thermal:PALETTE"] if name == "color" else [])))
                raise InputError(f"{name} {getattr(self, name)!r} is unknown; choose one of {known}")
        if self.measuring.bar and self.thermal_palette is None:
            raise InputError("a colour bar needs a palette: give `color` thermal:ironbow, or another")
        if self.task == "medical" and (self.color == "heat" or self.thermal_palette):
            raise InputError(
                f"color {self.color} is for infrared pictures; medical pairs keep their own colours"
            )
        for name, low, high in (("quality", 1, 100), ("crf", 0, 51)):
            if not low <= getattr(self, name) <= high:
                raise InputError(f"{name} {getattr(self, name)}: expected {low} to {high}")
        if self.max_width is not None and self.max_width < MIN_WIDTH:
            raise InputError(f"`max_width` {self.max_width}: expected {MIN_WIDTH} pixels or more")
        self.thermal.check()
        if self.agc_visible == "auto" or self.gain_visible.celsius:
            raise InputError(
                f"gain control {self.agc_visible!r} is not for visible pictures; expected off, linear,"
                " plateau, clahe or window:7000..9000 (levels)"
            )

    @cached_property
    def gain_visible(self) -> Gain:
        """The gain control of visible pictures."""
        return parse_gain(self.agc_visible)

    @cached_property
    def infrared(self) -> Thermal:
        """What the pictures of the infrared place hold: those of scanners keep their levels and colours."""
        return self.thermal.of_scan() if self.task == "medical" else self.thermal

    @property
    def thermal_palette(self) -> str | None:
        """The palette that shows temperatures, if one is asked for."""
        name = self.color.partition(":")[2]
        return name if self.color.startswith("thermal:") else None

    @property
    def chroma(self) -> Literal["visible", "infrared"] | None:
        """The place whose chroma the result carries; heat colours begin with that of the visible picture."""
        if self.color == "auto":
            return "infrared" if self.task == "medical" else "visible"
        if self.color == "gray" or self.thermal_palette:
            return None
        return "infrared" if self.color == "infrared" else "visible"
