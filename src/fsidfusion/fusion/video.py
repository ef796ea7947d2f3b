"""Fuse two videos frame by frame, without flicker; decoding, computing and encoding overlap."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from fsidfusion.alignment.stream import AlignmentStream
from fsidfusion.errors import FusionError, InputError, MissingDependency
from fsidfusion.fusion.fuser import Fuser
from fsidfusion.fusion.pipeline import Fusion, Pipeline, resample_infrared, sizes_differ
from fsidfusion.fusion.plan import Plan
from fsidfusion.fusion.scheduler import Ahead, Behind
from fsidfusion.images.atomic import is_written
from fsidfusion.images.files import Picture
from fsidfusion.images.output_range import Range, RangeMode, find_range
from fsidfusion.images.pixels import Luma, Pixels
from fsidfusion.thermal.heat import heat_range
from fsidfusion.thermal.highlight import Threshold
from fsidfusion.thermal.stream import ThermalStream, read_frame

if TYPE_CHECKING:
    from fsidfusion.fusion.video_files import Frame, Source

SMOOTHING = 0.5  # seconds in which the output range goes 63 % of the way to that of the scene
CUT = 0.12  # mean change of luma from one frame to the next that begins another scene
AHEAD = 4  # frames decoded ahead, and as many not yet encoded
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


class Flow:
    """The memory of a video: steady levels, one alignment, and ranges that follow the scene slowly."""

    def __init__(self, plan: Plan, range_mode: RangeMode, name: str) -> None:
        """``name`` is that of the infrared source, for messages."""
        self.plan = plan
        self.thermal = ThermalStream(plan.infrared, name)
        self.alignment = AlignmentStream(plan.align)
        self._range = SmoothRange(lambda fused: find_range(fused, range_mode))
        self._heat_range = SmoothRange(heat_range)

    @property
    def threshold(self) -> Threshold | None:
        """From where on something is hot."""
        return self.thermal.threshold

    @property
    def note(self) -> str:
        """On what was settled or estimated."""
        return "; ".join(filter(None, (self.alignment.note, self.thermal.note)))

    def level(self, fusion: Fusion) -> None:
        """Steady levels; see :class:`fsidfusion.thermal.stream.ThermalStream`."""
        infrared = fusion.sources[0]
        pixels, fusion.hot = self.thermal(infrared.pixels, fusion.seconds)
        fusion.infrared, fusion.known = replace(infrared, pixels=pixels), self.thermal.known

    def place(self, fusion: Fusion) -> None:
        """By the one alignment of both cameras, or by resizing where that is wanted, or all that is left."""
        infrared, visible = fusion.sources
        fusion.aligned = self.alignment(infrared.pixels, visible.pixels, fusion.known)
        if fusion.aligned:
            fusion.infrared = replace(infrared, pixels=fusion.aligned.infrared)
            fusion.fit_levels(fusion.aligned.levels)
        elif infrared.size != visible.size:
            if not self.plan.resize and not self.alignment.note:
                raise sizes_differ(fusion.names, (infrared.size, visible.size))
            resample_infrared(fusion)

    def range(self, fusion: Fusion) -> Range:
        """The output range, smoothed."""
        assert fusion.luma is not None
        return self._range(fusion.luma, fusion.seconds)

    def heat_range(self, contrast: Luma, weight: Luma | None, seconds: float) -> Range:
        """The levels of heat, smoothed."""
        return self._heat_range(contrast, seconds, weight)

    def learnt(self, frames: Iterator[Fusion]) -> Iterator[Fusion]:
        """The same frames, once the first ones have told how the cameras lie, if that is to be estimated."""
        first: list[Fusion] = []
        while len(first) < self.alignment.frames_to_learn and (frame := next(frames, None)) is not None:
            first.append(frame)
        if first:
            pairs = [frame.sources for frame in first]
            self.alignment.learn([(infrared.pixels, visible.pixels) for infrared, visible in pairs])
        yield from first
        yield from frames


def fuse_video(
    infrared: str,
    visible: str,
    output: Path,
    *,
    fuser: Fuser | None = None,
    plan: Plan = Plan(),
    rate: float = 25.0,
    progress: Callable[[int, int | None], None] = lambda done, total: None,
) -> Summary:
    """Fuse two videos to one with the frames, the times and the sound of the visible one.

    Each visible frame goes with the infrared one nearest in time, counted from the start of each; the shorter
    source ends the result. Ctrl-C ends it early, as a whole file.

    Args:
        infrared: see :func:`fsidfusion.fusion.video_files.open_source`.
        visible: likewise.
        output: .mp4, .mov, .mkv or .webm.
        fuser: the model, the default one if none is given; its range is smoothed over time.
        plan: colour, gain, alignment, and what to do with what exists or differs in size. An alignment
            ``auto`` is estimated once, from the first frames.
        rate: frames a second of sequences of pictures.
        progress: called with frames done, and in all where that is known.

    Raises:
        InputError: sources without frames, sizes that differ, a source that is damaged or a camera that stops
            (what was fused before is kept), an output that exists or cannot be written, thermal options that
            do not fit the frames.
        MissingDependency: PyAV is not installed.
    """
    if not find_spec("av"):
        raise MissingDependency("videos need PyAV: pip install 'fsidfusion[video]'")
    from fsidfusion.fusion.video_files import CONTAINERS, open_source

    output = Path(output)
    if output.suffix.lower() not in CONTAINERS:
        raise InputError(f"output {output} is no known video; end it in {', '.join(CONTAINERS)}")
    if output.is_dir():
        raise InputError(f"output {output} is a folder; give a file")
    if is_written(output) and not plan.overwrite:
        raise InputError(f"{output} exists; give another name, or --overwrite")
    if not output.parent.is_dir():
        raise InputError(f"cannot write {output}: there is no folder {output.parent}; make it first")
    read = partial(read_frame, thermal=plan.infrared)
    sources = open_source(str(infrared), rate, read), open_source(str(visible), rate)
    return _fuse(fuser or Fuser(task=plan.task), plan, *sources, output, progress)


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


def _fuse(
    fuser: Fuser,
    plan: Plan,
    infrared: "Source",
    visible: "Source",
    output: Path,
    progress: Callable[[int, int | None], None],
) -> Summary:
    """A thread decodes, one encodes, and the caller's computes."""
    memory = Flow(plan, fuser.range, infrared.name)
    pipeline = Pipeline(fuser, plan, memory)
    names = (infrared.name, visible.name)
    pairs = paired(infrared.frames, visible.frames, 1.5 / float(infrared.rate))
    decoded = Ahead((_frame(names, *pair) for pair in pairs), AHEAD)
    sink: _Sink | None = None
    done, stopped, failure = 0, False, None
    total = _total(infrared, visible)
    try:
        for fusion in memory.learnt(decoded):
            pipeline(fusion)
            assert fusion.result is not None
            sink = sink or _Sink(output, fusion.sources[1].size, visible)
            sink.encoder.put((fusion.result.pixels, fusion.seconds))
            done += 1
            progress(done, total)
    except KeyboardInterrupt:
        stopped = True
    except BaseException as error:  # what was fused so far is worth keeping
        failure = error
    finally:
        decoded.close()  # a camera or address that sends nothing may hold it: it is left after a while
    if sink is not None:
        failure = sink.close(done) or failure
    if failure:
        kept = f"; {done} frames were kept in {output}" if sink is not None and sink.whole else ""
        if isinstance(failure, FusionError):
            raise type(failure)(f"{failure}{kept}") from failure
        raise failure
    if sink is None and not stopped:
        raise InputError(f"{visible.name} and {infrared.name} hold no frames at the same time")
    size = sink.size if sink else (0, 0)
    note = "; ".join(filter(None, (memory.note, sink.writer.note if sink else "")))
    return Summary(done, *size, stopped, note)


def _frame(names: tuple[str, str], visible: "Frame", infrared: "Frame") -> Fusion:
    return Fusion(
        Picture(infrared.pixels), Picture(visible.pixels), names, visible.seconds, dtype=np.dtype(np.uint8)
    )


def _total(infrared: "Source", visible: "Source") -> int | None:
    """How many frames the result will have."""
    if visible.count is None or infrared.count is None:
        return visible.count
    return min(visible.count, round(infrared.count / infrared.rate * visible.rate))


class _Sink:
    """The file of the result, and the thread that writes it."""

    def __init__(self, output: Path, size: tuple[int, int], visible: "Source") -> None:
        from fsidfusion.fusion.video_files import VideoWriter

        self.output, self.size = output, size
        self.whole = False
        self.writer = VideoWriter(output, size, visible.rate, visible.file)
        self.encoder: Behind[tuple[Pixels, float]] = Behind(lambda item: self.writer.write(*item), AHEAD)

    def close(self, done: int) -> BaseException | None:
        """Make the file whole, or leave none where it holds no frame; what went wrong, if anything."""
        self.encoder.close()
        try:
            if done:
                self.writer.close()
                self.whole = self.encoder.failure is None
            else:
                self.writer.discard()
        except OSError as error:
            self.writer.discard()
            return self._unwritten(error)
        failure = self.encoder.failure
        return self._unwritten(failure) if isinstance(failure, OSError) else failure

    def _unwritten(self, error: OSError) -> InputError:
        kept = "; what was written until then is kept" if self.writer.kept else ""
        return InputError(f"{self.output} cannot be written to its end ({error.strerror}); make room{kept}")
