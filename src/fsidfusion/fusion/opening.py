"""Both sources of a video or a live view, checked and opened, and how they lie in time."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import cv2
import numpy as np

from fsidfusion.alignment.transform import Alignment
from fsidfusion.errors import InputError, MissingDependency, install
from fsidfusion.fusion.frame_times import offset
from fsidfusion.fusion.motion import offset_by_motion
from fsidfusion.fusion.pairing import Pairing
from fsidfusion.fusion.pipeline import Fusion
from fsidfusion.fusion.plan import Plan
from fsidfusion.images.atomic import is_written
from fsidfusion.images.files import Picture
from fsidfusion.images.pixels import Pixels
from fsidfusion.thermal.geometry import Geometry
from fsidfusion.thermal.scene import Thermal
from fsidfusion.thermal.stream import read_frame
from fsidfusion.thermal.temperature import Unit

WORDS: Unit = "kelvin64"  # of the lower half of frames that holds temperatures
Align = Alignment | Literal["auto"] | None

if TYPE_CHECKING:
    from fsidfusion.fusion.sources import Frame, Source, Take


def check_installed() -> None:
    """Raises MissingDependency where videos cannot be read."""
    if not find_spec("av"):
        raise MissingDependency(f"videos need PyAV: {install('video')}")


def check_output(output: Path, overwrite: bool, sources: Sequence[str] = ()) -> None:
    """Refuse a video file that cannot be written, before anything is done.

    Raises:
        InputError: no known container, something that exists, one of the sources, or no folder for it.
    """
    from fsidfusion.fusion.video_files import CONTAINERS

    if output.suffix.lower() not in CONTAINERS:
        raise InputError(f"output {output} is no known video; end it in {', '.join(CONTAINERS)}")
    if output.is_dir():
        raise InputError(f"output {output} is a folder; give a file")
    for source in sources:
        if output.exists() and Path(source).exists() and output.samefile(source):
            raise InputError(f"{output} exists, and is a source; give another name")
    if is_written(output) and not overwrite:
        raise InputError(f"{output} exists; give another name, or `overwrite`")
    if not output.parent.is_dir():
        raise InputError(f"cannot write {output}: there is no folder {output.parent}; make it first")


def with_words(plan: Plan) -> Plan:
    """The plan, with the unit of frames whose lower half holds temperatures."""
    if plan.infrared.geometry().holds_words and plan.thermal.unit == "auto":
        return replace(plan, thermal=replace(plan.thermal, unit=WORDS))
    return plan


@dataclass(frozen=True)
class Opener:
    """One source that can be opened, and opened again: its frames come cut and turned as was asked."""

    place: str
    take: "Take"
    geometry: Geometry
    thermal: Thermal | None = None  # what the pictures of an infrared sequence hold
    widest: int | None = None  # pixels; wider frames are scaled down

    def __call__(self) -> "Source":
        """Open it. InputError as :func:`fsidfusion.fusion.sources.open_source`."""
        from fsidfusion.fusion.sources import changed, open_source

        if self.thermal is None:
            return changed(open_source(self.place, self.take), self._shaped)
        plain = replace(self.thermal, ir_crop=None, ir_rotate=0, ir_flip="none")
        return changed(open_source(self.place, self.take, partial(read_frame, thermal=plain)), self.geometry)

    def _shaped(self, pixels: Pixels) -> Pixels:
        pixels = self.geometry(pixels)
        is_wider = self.widest is not None and pixels.shape[1] > self.widest
        return _narrowed(pixels, self.widest) if self.widest and is_wider else pixels


def _narrowed(pixels: Pixels, widest: int) -> Pixels:
    height, width = pixels.shape[:2]
    size = widest, max(1, round(height * widest / width))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA))


def openers(
    infrared: str, visible: str, thermal: Thermal, rate: float, pairing: Pairing, prompt: bool = False
) -> tuple[Opener, Opener]:
    """How both sources are opened; ``prompt`` for those whose frames must not be late."""
    geometry = thermal.geometry()
    ours, theirs = (replace(take, prompt=prompt) for take in pairing.takes(rate, geometry.holds_words))
    return (
        Opener(str(infrared), ours, geometry, thermal),
        Opener(str(visible), theirs, Geometry(pairing.vis_crop)),
    )


def open_both(
    infrared: Opener, visible: Opener, pairing: Pairing, align: Align = None
) -> "tuple[Source, Source, float, str]":
    """Both sources, how many seconds later the infrared one began, and a note on that.

    Args:
        infrared: how it is opened.
        visible: likewise.
        pairing: what is known of their times.
        align: how the infrared frames lie on the visible ones, for an offset that is estimated.

    Raises:
        InputError: a source that cannot be opened, or no offset that can be told.
    """
    sources = infrared(), visible()
    check_streams(sources[0], infrared.place == visible.place, pairing)
    if pairing.ir_offset == "auto":
        given: float | None = estimated_offset(*sources, align)
        sources = infrared(), visible()
    else:
        given = pairing.offset()
    return *sources, *later(*sources, given, pairing)


def check_streams(infrared: "Source", same: bool, pairing: Pairing) -> None:
    """Raises InputError where one file is both sources and nobody says which of its streams is infrared."""
    if same and infrared.streams > 1 and pairing.ir_stream is None:
        raise InputError(
            f"{infrared.name} holds {infrared.streams} streams; say by `ir_stream` which is infrared"
        )


def estimated_offset(infrared: "Source", visible: "Source", align: Align = None) -> float:
    """How much later the infrared source began, by motion; its frames are used up.

    Raises:
        InputError: a live source, or no offset that stands out.
    """
    if infrared.is_live or visible.is_live:
        raise InputError("the offset of live sources cannot be estimated; give `ir_offset` in seconds")
    known = None if align == "auto" else align
    return offset_by_motion(infrared.frames, visible.frames, known, is_placed=align != "auto")


def later(infrared: "Source", visible: "Source", given: float | None, pairing: Pairing) -> tuple[float, str]:
    """How much later the infrared source began, as given or by the clocks of both, and a note on that."""
    if given is None:
        return offset(infrared.start, visible.start, _shorter(infrared, visible))
    if pairing.ir_offset == "auto":
        return (
            given,
            f"infrared began {abs(given):.2f} s {'later' if given > 0 else 'earlier'}, by its motion",
        )
    return given, ""


def to_fusion(names: tuple[str, str], visible: "Frame", infrared: "Frame | None") -> Fusion:
    """A pair on its way; beside a visible frame alone stands an infrared one that does not count."""
    size = visible.pixels.shape[:2]
    pixels: Pixels = np.zeros(size, np.uint8) if infrared is None else infrared.pixels
    pictures = Picture(pixels), Picture(visible.pixels)
    is_alone = infrared is None
    return Fusion(*pictures, names, visible.seconds, dtype=np.dtype(np.uint8), is_alone=is_alone)


def _shorter(infrared: "Source", visible: "Source") -> float | None:
    known = [source.seconds for source in (infrared, visible) if source.seconds is not None]
    return min(known) if known else None
