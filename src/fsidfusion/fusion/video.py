"""Fuse two videos frame by frame, without flicker; decoding, computing and encoding overlap."""

import math
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from queue import Full, Queue
from typing import TYPE_CHECKING, Any, Literal

import cv2
import numpy as np

from fsidfusion.alignment.stream import AlignmentStream
from fsidfusion.alignment.transform import Alignment
from fsidfusion.alignment.warp import where_known
from fsidfusion.errors import FusionError, InputError, MissingDependency
from fsidfusion.fusion.fuser import Colour, Fuser, chroma_source, render
from fsidfusion.images.output_range import Range, find_range
from fsidfusion.images.pixels import Luma, Pixels, luma, resize
from fsidfusion.thermal.heat import glow, heat_range
from fsidfusion.thermal.highlight import highlight
from fsidfusion.thermal.reading import Thermal
from fsidfusion.thermal.stream import ThermalStream, read_frame
from fsidfusion.thermal.temperature import resample

if TYPE_CHECKING:
    from fsidfusion.fusion.video_files import Frame, Source

SMOOTHING = 0.5  # seconds in which the output range goes 63 % of the way to that of the scene
CUT = 0.12  # mean change of luma from one frame to the next that begins another scene
AHEAD = 4  # frames decoded ahead, and as many not yet encoded
_KNOWN = 0.99  # share of the pixels sampled that were measured
_THUMBNAIL = (32, 24)  # on which scenes are told apart


@dataclass(frozen=True)
class Summary:
    """What was written."""

    frames: int
    height: int
    width: int
    stopped: bool = False  # by the user, before the end
    note: str = ""


class SmoothRange:
    """The output range of a video: it follows the scene slowly, and at a cut it jumps."""

    def __init__(self, find: Callable[..., Range] = find_range, smoothing: float = SMOOTHING) -> None:
        """``find(frame, *more)`` gives the range of one frame by itself; ``smoothing`` is in seconds."""
        self._find, self._smoothing = find, smoothing
        self._range: Range | None = None
        self._seconds = 0.0
        self._thumbnail: Pixels | None = None

    def __call__(self, fused: Luma, seconds: float, *more: Any) -> Range:
        """The range for the frame (H, W) that is shown from ``seconds`` on; ``more`` goes to ``find``."""
        target = self._find(fused, *more)
        thumbnail = cv2.resize(fused, _THUMBNAIL, interpolation=cv2.INTER_AREA)
        known, before = self._range, self._thumbnail
        if known is None or before is None or float(np.abs(thumbnail - before).mean()) > CUT:
            self._range = target
        else:
            share = 1 - math.exp(-max(0.0, seconds - self._seconds) / self._smoothing)
            self._range = Range(
                known.low + share * (target.low - known.low), known.high + share * (target.high - known.high)
            )
        self._thumbnail, self._seconds = thumbnail, seconds
        return self._range


def fuse_video(
    fuser: Fuser,
    infrared: str,
    visible: str,
    output: Path,
    *,
    color: Colour = "visible",
    resize: bool = False,
    rate: float = 25.0,
    overwrite: bool = False,
    report: Callable[[int, int | None], None] = lambda done, total: None,
    thermal: Thermal = Thermal(),
    align: Alignment | Literal["auto"] | None = None,
) -> Summary:
    """Fuse two videos to one with the frames, the times and the sound of the visible one.

    Each visible frame goes with the infrared one nearest in time, counted from the start of each; the shorter
    source ends the result. Ctrl-C ends it early, as a whole file.

    Args:
        fuser: the model; its range is smoothed over time.
        infrared: see :func:`fsidfusion.fusion.video_files.open_source`.
        visible: likewise.
        output: .mp4, .mov, .mkv or .webm.
        color: whose colour is kept; see :meth:`Fuser.fuse`.
        resize: resample the infrared frames where their size differs.
        rate: frames a second of sequences of pictures.
        overwrite: replace an output that exists.
        report: called with frames done, and in all where that is known.
        thermal: what the infrared frames hold, their gain, and hot targets.
        align: how the infrared frames lie on the visible ones; ``auto`` estimates it once from the first.

    Raises:
        InputError: sources without frames, sizes that differ, a source that is damaged or a camera that stops
            (what was fused before is kept), an output that exists or cannot be written, PyAV missing, thermal
            options that do not fit the frames.
    """
    thermal.check()
    if not find_spec("av"):
        raise MissingDependency("videos need PyAV: pip install 'fsidfusion[video]'")
    from fsidfusion.fusion.video_files import CONTAINERS, open_source

    if output.suffix.lower() not in CONTAINERS:
        raise InputError(f"output {output} is no known video; end it in {', '.join(CONTAINERS)}")
    if output.exists() and not overwrite:
        raise InputError(f"{output} exists; give another name, or --overwrite")
    if not output.parent.is_dir():
        raise InputError(f"cannot write {output}: there is no folder {output.parent}; make it first")
    read = partial(read_frame, thermal=thermal)
    sources = open_source(infrared, rate, read), open_source(visible, rate)
    return _Run(
        fuser,
        *sources,
        output,
        color,
        resize,
        report,
        ThermalStream(thermal, infrared),
        AlignmentStream(align),
    ).run()


def paired(infrared: "Iterator[Frame]", visible: "Iterator[Frame]", slack: float) -> Iterator[Any]:
    """Each visible frame with the infrared one nearest in time: (visible, infrared) frames.

    Ends with either source; the last infrared frame serves for ``slack`` seconds.
    """
    now = next(infrared, None)
    after = next(infrared, None)
    for frame in visible:
        if now is None:
            return
        while after is not None and abs(after.seconds - frame.seconds) <= abs(now.seconds - frame.seconds):
            now, after = after, next(infrared, None)
        if after is None and frame.seconds - now.seconds > slack:
            return
        yield frame, now


class _Run:
    """One call of fuse_video: a thread decodes, one encodes, and the caller's computes."""

    def __init__(
        self,
        fuser: Fuser,
        infrared: "Source",
        visible: "Source",
        output: Path,
        color: Colour,
        resize: bool,
        report: Callable[[int, int | None], None],
        thermal: ThermalStream,
        alignment: AlignmentStream,
    ) -> None:
        self.fuser, self.infrared, self.visible, self.output = fuser, infrared, visible, output
        self.color, self.resize, self.report, self.thermal = color, resize, report, thermal
        self.alignment = alignment
        self.heat = SmoothRange(heat_range)
        self.decoded: Queue[Any] = Queue(AHEAD)
        self.fused: Queue[tuple[Pixels, float] | None] = Queue(AHEAD)
        self.stopping = threading.Event()
        self.failure: BaseException | None = None  # of a thread

    def run(self) -> Summary:
        decoder = threading.Thread(target=self._decode, daemon=True)
        decoder.start()
        encoder: threading.Thread | None = None
        done, stopped, size, note = 0, False, (0, 0), ""
        smooth = SmoothRange(lambda fused: find_range(fused, self.fuser.range))
        writer = None
        try:
            for visible, infrared in self._pairs():
                pixels = self._fuse(infrared.pixels, visible.pixels, visible.seconds, smooth)
                if writer is None:
                    size = visible.pixels.shape[:2]
                    writer = self._writer(size)
                    note = "; ".join(filter(None, (self.alignment.note, self.thermal.note, writer.note)))
                    encoder = threading.Thread(target=self._encode, args=(writer,), daemon=True)
                    encoder.start()
                self.fused.put((pixels, visible.seconds))
                done += 1
                self.report(done, self._total())
        except KeyboardInterrupt:
            stopped = True
        except BaseException as error:  # what was fused so far is worth keeping
            self.failure = self.failure or error
        finally:
            self.stopping.set()  # also the decoder
            if encoder is not None:
                self.fused.put(None)
                encoder.join()
            decoder.join(timeout=2.0)  # a camera or address that sends nothing may hold it
        if writer is not None:
            self._finish(writer, done)
        if self.failure:
            kept = f"; {done} frames were kept in {self.output}" if done else ""
            if isinstance(self.failure, FusionError):
                raise InputError(f"{self.failure}{kept}") from self.failure
            raise self.failure
        if writer is None and not stopped:
            raise InputError(f"{self.visible.name} and {self.infrared.name} hold no frames at the same time")
        return Summary(done, *size, stopped, note)

    def _pairs(self) -> Iterator[Any]:
        """The decoded pairs; the first ones when an alignment was learnt from them."""
        first: list[Any] = []
        wanted = self.alignment.frames_to_learn
        while len(first) < wanted and (pair := self.decoded.get()) is not None:
            first.append(pair)
        if first:
            self.alignment.learn([(infrared.pixels, visible.pixels) for visible, infrared in first])
        yield from first
        if len(first) < wanted:  # the sources have ended
            return
        while (pair := self.decoded.get()) is not None and not self.stopping.is_set():
            yield pair

    def _total(self) -> int | None:
        """How many frames the result will have."""
        counts = (self.visible.count, self.infrared.count)
        if counts[0] is None or counts[1] is None:
            return counts[0]
        return min(counts[0], round(counts[1] / self.infrared.rate * self.visible.rate))

    def _fuse(self, infrared: Pixels, visible: Pixels, seconds: float, smooth: SmoothRange) -> Pixels:
        infrared, hot = self.thermal(infrared, seconds)
        known = self.thermal.known
        aligned = self.alignment(infrared, visible, known)
        if aligned:
            infrared, hot = aligned.infrared, None if hot is None else aligned.levels(hot)
        elif infrared.shape[:2] != visible.shape[:2]:
            if not self.resize and not self.alignment.note:
                sizes = [f"{pixels.shape[1]}x{pixels.shape[0]}" for pixels in (infrared, visible)]
                raise InputError(
                    f"sizes differ: {self.infrared.name} has {sizes[0]} pixels,"
                    f" {self.visible.name} {sizes[1]}; give --align, or --resize"
                )
            infrared = resize(infrared, *visible.shape[:2])
            hot = None if hot is None else resample(hot, *visible.shape[:2])
            known = None if known is None else resample(known.astype(np.float32), *visible.shape[:2]) > _KNOWN
        if aligned is None and known is not None:
            aligned = where_known(infrared, visible, known)
            infrared = aligned.infrared
        fused = self.fuser.fuse_luma([infrared], [visible])[0]
        fused = aligned.blend(fused, visible) if aligned else fused
        source = chroma_source(self.color, infrared, visible)
        pixels = render(fused, smooth(fused, seconds), source, np.dtype(np.uint8))
        if self.color == "heat":
            weight, level = (aligned.weight, aligned.plain()) if aligned else (None, luma(infrared))
            pixels = glow(pixels, level, self.heat(level, seconds, weight), weight)
        if hot is None or self.thermal.threshold is None:
            return pixels
        return highlight(pixels, hot, self.thermal.threshold)

    def _writer(self, size: tuple[int, int]) -> Any:
        from fsidfusion.fusion.video_files import VideoWriter

        return VideoWriter(self.output, size, self.visible.rate, self.visible.file)

    def _decode(self) -> None:
        """Decode pairs until the end of a source or of the run."""
        slack = 1.5 / float(self.infrared.rate)
        try:
            for pair in paired(self.infrared.frames, self.visible.frames, slack):
                if not self._put(self.decoded, pair):
                    break
        except BaseException as error:
            self.failure = error
        finally:
            self._put(self.decoded, None)

    def _encode(self, writer: Any) -> None:
        try:
            while (item := self.fused.get()) is not None:
                writer.write(*item)
        except BaseException as error:
            self.failure = error
            self.stopping.set()
            while self.fused.get() is not None:  # the computing thread may wait to hand over
                pass

    def _put(self, queue: "Queue[Any]", item: Any) -> bool:
        """Hand over, unless the run is stopping."""
        while not self.stopping.is_set():
            try:
                queue.put(item, timeout=0.1)
                return True
            except Full:
                continue
        return False

    def _finish(self, writer: Any, done: int) -> None:
        """Make the file whole, or leave none where it holds no frame."""
        try:
            if done:
                writer.close()
            else:
                writer.discard()
        except OSError as error:
            writer.discard()
            self.failure = self.failure or InputError(f"{self.output} cannot be written ({error.strerror})")
