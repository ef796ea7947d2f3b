"""Fuse two videos frame by frame, without flicker; decoding, computing and encoding overlap."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from fsidfusion.errors import FusionError, InputError
from fsidfusion.fusion.flow import Flow
from fsidfusion.fusion.fuser import Fuser
from fsidfusion.fusion.opening import (
    WORDS,
    check_installed,
    check_output,
    later,
    open_both,
    openers,
    to_fusion,
    with_words,
)
from fsidfusion.fusion.pairing import Pairing, limit_at_rims, limit_of_age, paired, watched, with_ages
from fsidfusion.fusion.pipeline import Pipeline
from fsidfusion.fusion.plan import Plan
from fsidfusion.fusion.scheduler import Ahead, Behind
from fsidfusion.images.atomic import write_text
from fsidfusion.images.pixels import Pixels
from fsidfusion.thermal.measure import TABLE_HEAD, table_row
from fsidfusion.thermal.scene import Thermal
from fsidfusion.thermal.stream import ThermalStream

if TYPE_CHECKING:
    from fsidfusion.fusion.sources import Source

AHEAD = 4  # frames decoded ahead, and as many not yet encoded


@dataclass(frozen=True)
class Summary:
    """What was written."""

    frames: int
    height: int
    width: int
    stopped: bool = False  # by the user, before the end
    note: str = ""
    alone: int = 0  # frames without an infrared one near in time


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
    check_installed()
    output = Path(output)
    check_output(output, plan.overwrite, (str(infrared), str(visible)))
    plan = with_words(plan)
    both = open_both(*openers(infrared, visible, plan.infrared, rate, pairing), pairing, plan.align)
    return _fuse(fuser or Fuser(task=plan.task), plan, *both, output, progress, pairing)


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
    check_installed()
    if thermal.geometry().holds_words and thermal.unit == "auto":
        thermal = replace(thermal, unit=WORDS)
    ours, theirs = (opener() for opener in openers(infrared, visible, thermal, rate, pairing))
    begun = later(ours, theirs, pairing.offset(), pairing)[0]
    stream = ThermalStream(thermal, ours.name)
    step = max(1, (_total(ours, theirs) or number) // number)
    oldest = limit_of_age(float(ours.rate), False, pairing.max_age)
    found: list[tuple[Pixels, Pixels]] = []
    for index, (seen, measured) in enumerate(paired(ours.frames, theirs.frames, oldest, begun)):
        if measured is None or index % step or len(found) == number:
            continue
        pixels, _ = stream(measured.pixels, seen.seconds)
        if stream.known is None or stream.known.any():
            found.append((pixels, seen.pixels))
    if not found:
        raise InputError(f"{theirs.name} and {ours.name} hold no frames at the same time")
    return found


def _fuse(
    fuser: Fuser,
    plan: Plan,
    infrared: "Source",
    visible: "Source",
    begun: float,
    told: str,
    output: Path,
    progress: Callable[[int, int | None], None],
    pairing: Pairing,
) -> Summary:
    """A thread decodes, one encodes, and the caller's computes."""
    memory = Flow(plan, fuser.range, infrared.name)
    pipeline = Pipeline(fuser, plan, memory)
    names = (infrared.name, visible.name)
    waiting = [visible.name]
    is_live = infrared.is_live or visible.is_live
    ages: list[float] = []  # of infrared frames in the place of missing ones
    pairs = paired(
        watched(infrared.frames, lambda: waiting.__setitem__(0, infrared.name)),
        watched(visible.frames, lambda: waiting.__setitem__(0, visible.name)),
        limit_of_age(float(infrared.rate), is_live, pairing.max_age),
        begun,
        limit_at_rims(float(infrared.rate), is_live, pairing.max_age),
    )
    decoded = Ahead(
        (to_fusion(names, *pair) for pair in with_ages(pairs, begun, float(infrared.rate), ages)),
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
    old = ""
    if ages and not is_live:
        old = f"{len(ages)} have an infrared one up to {max(ages):.2f} s away, where nearer ones are missing"
        old = old if missing else f"visible frames: {old}"
    lost = "; ".join((*infrared.losses, *visible.losses))
    note = "; ".join(filter(None, (told, memory.note, missing, old, lost, sink.writer.note if sink else "")))
    return Summary(done, *size, stopped, note, alone)


def _total(infrared: "Source", visible: "Source") -> int | None:
    """How many frames the result will have."""
    if visible.count is None or infrared.count is None:
        return visible.count
    return min(visible.count, round(infrared.count / infrared.rate * visible.rate))


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
