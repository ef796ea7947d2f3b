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
from fsidfusion.fusion.frame_times import offset
from fsidfusion.fusion.fuser import Fuser
from fsidfusion.fusion.pairing import Pairing, limit_of_age, offset_by_motion, paired, watched
from fsidfusion.fusion.pipeline import Fusion, Pipeline, resample_infrared, sizes_differ
from fsidfusion.fusion.plan import Plan
from fsidfusion.fusion.scheduler import Ahead, Behind
from fsidfusion.images.atomic import is_written, write_text
from fsidfusion.images.files import Picture
from fsidfusion.images.output_range import Range, RangeMode, find_range
from fsidfusion.images.pixels import Luma, Pixels
from fsidfusion.thermal.geometry import Geometry
from fsidfusion.thermal.heat import heat_range
from fsidfusion.thermal.highlight import Threshold
from fsidfusion.thermal.measure import TABLE_HEAD, measure, table_row
from fsidfusion.thermal.reading import Thermal
from fsidfusion.thermal.stream import ThermalStream, read_frame

if TYPE_CHECKING:
    from fsidfusion.fusion.sources import Frame, Source

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
    alone: int = 0  # frames without an infrared one near in time


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
        self._range_alone = SmoothRange(lambda fused: find_range(fused, range_mode))
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
        if fusion.is_alone:
            fusion.known = np.zeros(infrared.size, bool)
            return
        pixels, fusion.hot = self.thermal(infrared.pixels, fusion.seconds)
        told = self.plan.measuring
        if told.is_drawn or told.table:
            celsius = self.thermal.celsius
            if celsius is None and self.thermal.is_settled:
                raise InputError(
                    f"{fusion.names[0]} holds no temperatures, but `bar`, `marks` or `table` ask for them;"
                    " leave them out, or say by `unit` what the numbers are"
                )
            fusion.celsius = celsius if told.is_drawn else None
            fusion.measures = None if celsius is None else measure(celsius)
        fusion.infrared, fusion.known = replace(infrared, pixels=pixels), self.thermal.known

    def place(self, fusion: Fusion) -> None:
        """By the one alignment of both cameras, or by resizing where that is wanted, or all that is left."""
        infrared, visible = fusion.sources
        if fusion.is_alone:
            return
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
        is_alone = fusion.is_alone or (fusion.known is not None and not fusion.known.any())
        smooth = self._range_alone if is_alone else self._range  # two kinds of picture, each steady
        return smooth(fusion.luma, fusion.seconds)

    def heat_range(self, contrast: Luma, weight: Luma | None, seconds: float) -> Range:
        """The levels of heat, smoothed."""
        if weight is not None and not weight.any():  # nothing glows, and nothing is learnt
            return heat_range(contrast, weight)
        return self._heat_range(contrast, seconds, weight)

    def learnt(self, frames: Iterator[Fusion]) -> Iterator[Fusion]:
        """The same frames, once the first ones have told how the cameras lie, if that is to be estimated."""
        first: list[Fusion] = []
        wanted = self.alignment.frames_to_learn
        while len(first) < wanted and (frame := next(frames, None)) is not None:
            if frame.is_alone and not first:
                yield frame
            else:
                first.append(frame)
        pairs = [frame.sources for frame in first if not frame.is_alone]
        if pairs:
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
    pairing: Pairing = Pairing(),
    progress: Callable[[int, int | None], None] = lambda done, total: None,
) -> Summary:
    """Fuse two videos to one with the frames, the times and the sound of the visible one.

    Each visible frame goes with the infrared one nearest in time, by the clocks of both where they have any,
    or else counted from the start of each; where none is near, it stands alone. The shorter source ends the
    result. Ctrl-C ends it early, as a whole file.

    Args:
        infrared: see :func:`fsidfusion.fusion.sources.open_source`.
        visible: likewise.
        output: .mp4, .mov, .mkv or .webm.
        fuser: the model, the default one if none is given; its range is smoothed over time.
        plan: colour, gain, alignment, and what to do with what exists or differs in size. An alignment
            ``auto`` is estimated once, from the first frames.
        rate: frames a second of sequences of pictures.
        pairing: times, streams and limits of both sources.
        progress: called with frames done, and in all where that is known.

    Raises:
        InputError: sources without frames, sizes that differ, a source that is damaged or a camera that stops
            (what was fused before is kept), an output that exists or cannot be written, thermal options that
            do not fit the frames.
        MissingDependency: PyAV is not installed.
    """
    if not find_spec("av"):
        raise MissingDependency("videos need PyAV: pip install 'fsidfusion[video]'")
    from fsidfusion.fusion.video_files import CONTAINERS

    output = Path(output)
    if output.suffix.lower() not in CONTAINERS:
        raise InputError(f"output {output} is no known video; end it in {', '.join(CONTAINERS)}")
    if output.is_dir():
        raise InputError(f"output {output} is a folder; give a file")
    if is_written(output) and not plan.overwrite:
        raise InputError(f"{output} exists; give another name, or `overwrite`")
    if not output.parent.is_dir():
        raise InputError(f"cannot write {output}: there is no folder {output.parent}; make it first")
    geometry = plan.infrared.geometry()
    if geometry.holds_words and plan.thermal.unit == "auto":
        plan = replace(plan, thermal=replace(plan.thermal, unit="kelvin64"))
    given = pairing.offset()

    def opened() -> "tuple[Source, Source]":
        return _opened(str(infrared), str(visible), plan.infrared, rate, pairing)

    sources = opened()
    if str(infrared) == str(visible) and sources[0].streams > 1 and pairing.ir_stream is None:
        raise InputError(
            f"{infrared} holds {sources[0].streams} streams; say by `ir_stream` which is infrared"
        )
    if pairing.ir_offset == "auto":
        if any(source.is_live for source in sources):
            raise InputError("the offset of live sources cannot be estimated; give `ir_offset` in seconds")
        given = offset_by_motion(sources[0].frames, sources[1].frames)
        sources = opened()
    return _fuse(fuser or Fuser(task=plan.task), plan, *sources, output, progress, pairing, given)


def sample_pairs(
    infrared: str,
    visible: str,
    number: int,
    *,
    thermal: Thermal = Thermal(),
    rate: float = 25.0,
    pairing: Pairing = Pairing(),
) -> list[tuple[Pixels, Pixels]]:
    """Pairs of frames of two videos, spread over their whole length, such as an alignment is estimated from.

    Args:
        infrared: see :func:`fsidfusion.fusion.sources.open_source`.
        visible: likewise.
        number: so many are wanted, at most.
        thermal: what the infrared frames hold.
        rate: as for :func:`fuse_video`.
        pairing: likewise.

    Returns:
        (infrared, visible) pixels, the infrared ones in the range that is fused.
    """
    if not find_spec("av"):
        raise MissingDependency("videos need PyAV: pip install 'fsidfusion[video]'")
    ours, theirs = _opened(str(infrared), str(visible), thermal, rate, pairing)
    given = pairing.offset()
    later = given if given is not None else offset(ours.start, theirs.start, _shorter(ours, theirs))[0]
    stream = ThermalStream(thermal, ours.name)
    step = max(1, (_total(ours, theirs) or number) // number)
    oldest = limit_of_age(float(ours.rate), False, pairing.max_age)
    found: list[tuple[Pixels, Pixels]] = []
    for index, (seen, measured) in enumerate(paired(ours.frames, theirs.frames, oldest, later)):
        if measured is None or index % step or len(found) == number:
            continue
        pixels, _ = stream(measured.pixels, seen.seconds)
        if stream.known is None or stream.known.any():
            found.append((pixels, seen.pixels))
    if not found:
        raise InputError(f"{theirs.name} and {ours.name} hold no frames at the same time")
    return found


def _opened(
    infrared: str, visible: str, thermal: Thermal, rate: float, pairing: Pairing
) -> "tuple[Source, Source]":
    from fsidfusion.fusion.sources import changed, open_source

    geometry = thermal.geometry()
    ours, theirs = pairing.takes(rate, geometry.holds_words)
    read = partial(read_frame, thermal=replace(thermal, ir_crop=None, ir_rotate=0, ir_flip="none"))
    return (
        changed(open_source(infrared, ours, read), geometry),
        changed(open_source(visible, theirs), Geometry(pairing.vis_crop)),
    )


def _fuse(
    fuser: Fuser,
    plan: Plan,
    infrared: "Source",
    visible: "Source",
    output: Path,
    progress: Callable[[int, int | None], None],
    pairing: Pairing,
    given: float | None,
) -> Summary:
    """A thread decodes, one encodes, and the caller's computes."""
    memory = Flow(plan, fuser.range, infrared.name)
    pipeline = Pipeline(fuser, plan, memory)
    names = (infrared.name, visible.name)
    later, told = given if given is not None else 0.0, ""
    if given is None:
        later, told = offset(infrared.start, visible.start, _shorter(infrared, visible))
    elif pairing.ir_offset == "auto":
        told = f"infrared began {abs(given):.2f} s {'later' if given > 0 else 'earlier'}, by its motion"
    waiting = [visible.name]
    is_live = infrared.is_live or visible.is_live
    pairs = paired(
        watched(infrared.frames, lambda: waiting.__setitem__(0, infrared.name)),
        watched(visible.frames, lambda: waiting.__setitem__(0, visible.name)),
        limit_of_age(float(infrared.rate), is_live, pairing.max_age),
        later,
    )
    decoded = Ahead(
        (_frame(names, *pair) for pair in pairs),
        AHEAD,
        pairing.timeout + pairing.reconnect if is_live else None,
        lambda: waiting[0],
    )
    sink: _Sink | None = None
    done, alone, stopped, failure = 0, 0, False, None
    rows = [TABLE_HEAD.replace("name", "seconds", 1)]
    total = _total(infrared, visible)
    try:
        for fusion in memory.learnt(decoded):
            pipeline(fusion)
            assert fusion.result is not None
            sink = sink or _Sink(output, fusion.sources[1].size, visible, plan.crf)
            sink.encoder.put((fusion.result.pixels, fusion.seconds))
            rows.append(table_row(f"{fusion.seconds:.3f}", fusion.measures))
            done += 1
            alone += fusion.is_alone
            progress(done, total)
    except KeyboardInterrupt:
        stopped = True
    except BaseException as error:  # what was fused so far is worth keeping
        failure = error
    finally:
        decoded.close()  # a camera or address that sends nothing may hold it: it is left after a while
    if sink is not None:
        failure = sink.close(done) or failure
    if plan.measuring.table and done:
        write_text(plan.measuring.table, "\n".join(rows) + "\n")
    if failure:
        kept = f"; {done} frames were kept in {output}" if sink is not None and sink.whole else ""
        if isinstance(failure, FusionError):
            raise type(failure)(f"{failure}{kept}") from failure
        raise failure
    if sink is None and not stopped:
        raise InputError(f"{visible.name} and {infrared.name} hold no frames at the same time")
    size = sink.size if sink else (0, 0)
    missing = f"{alone} visible frames had no infrared one near in time and stand alone" if alone else ""
    lost = "; ".join((*infrared.losses, *visible.losses))
    note = "; ".join(filter(None, (told, memory.note, missing, lost, sink.writer.note if sink else "")))
    return Summary(done, *size, stopped, note, alone)


def _frame(names: tuple[str, str], visible: "Frame", infrared: "Frame | None") -> Fusion:
    """A pair on its way; beside a visible frame alone stands an infrared one that does not count."""
    size = visible.pixels.shape[:2]
    pixels = np.zeros(size, np.uint8) if infrared is None else infrared.pixels
    pictures = Picture(pixels), Picture(visible.pixels)
    is_alone = infrared is None
    return Fusion(*pictures, names, visible.seconds, dtype=np.dtype(np.uint8), is_alone=is_alone)


def _total(infrared: "Source", visible: "Source") -> int | None:
    """How many frames the result will have."""
    if visible.count is None or infrared.count is None:
        return visible.count
    return min(visible.count, round(infrared.count / infrared.rate * visible.rate))


def _shorter(infrared: "Source", visible: "Source") -> float | None:
    known = [source.seconds for source in (infrared, visible) if source.seconds is not None]
    return min(known) if known else None


class _Sink:
    """The file of the result, and the thread that writes it."""

    def __init__(self, output: Path, size: tuple[int, int], visible: "Source", crf: int) -> None:
        from fsidfusion.fusion.video_files import VideoWriter

        self.output, self.size = output, size
        self.whole = False
        self.writer = VideoWriter(
            output, size, visible.rate, visible.file, visible.aspect, visible.metadata, crf
        )
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
