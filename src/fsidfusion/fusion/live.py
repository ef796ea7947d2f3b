"""Fuse two sources as they come: the newest frames of both, paired by time, and never a queue.

The visible side sets the pace. Each of its frames that is still the newest when the one before is done goes
with the infrared frame nearest in time, or alone where none is near. Latency is counted from the moment at
which the visible frame came to this machine (of a file: at which it was due) to that at which the fused
picture was handed to the outputs.
"""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from fsidfusion.errors import FusionError, InputError
from fsidfusion.fusion.addresses import shown
from fsidfusion.fusion.feed import LONGEST_DELAY, Feed, Playing, State
from fsidfusion.fusion.flow import Flow
from fsidfusion.fusion.fuser import Fuser
from fsidfusion.fusion.live_counts import Counts, LiveSummary, Status
from fsidfusion.fusion.live_outputs import Output, Recording, Table
from fsidfusion.fusion.opening import (
    check_installed,
    check_output,
    check_streams,
    estimated_offset,
    later,
    openers,
    to_fusion,
    with_words,
)
from fsidfusion.fusion.pairing import Pairing, limit_of_age
from fsidfusion.fusion.pipeline import Pipeline
from fsidfusion.fusion.plan import Plan
from fsidfusion.images.pixels import Pixels

if TYPE_CHECKING:
    from fsidfusion.fusion.sources import Frame

_TURN = 0.1  # seconds between two looks at what has no event
_PATIENCE = 0.015  # seconds that a visible frame waits for an infrared one that is about to come
_LEARNT_FROM = 5  # pairs that an alignment is estimated from
_APART = 0.4  # seconds between them
_TOLD = 0.5  # seconds after which the state is told again where no picture is made


def fuse_live(
    infrared: str,
    visible: str,
    outputs: Sequence[Output],
    *,
    fuser: Fuser | None = None,
    plan: Plan = Plan(),
    rate: float = 25.0,
    pairing: Pairing = Pairing(reconnect=60.0),
    playing: Playing = Playing(),
    max_width: int | None = None,
    say: Callable[[str], None] = lambda line: None,
    told: Callable[[Status], None] = lambda status: None,
) -> LiveSummary:
    """Fuse two live sources, or files at their own pace, until one ends, time is up, or Ctrl-C.

    A source that is lost is opened again, and meanwhile the visible frames stand alone.

    Args:
        infrared: see :func:`fsidfusion.fusion.sources.open_source`.
        visible: likewise; its frames set the pace.
        outputs: where the pictures go, all at the same time.
        fuser: the model, the default one if none is given.
        plan: as for :func:`fsidfusion.fusion.video.fuse_video`; an alignment ``auto`` is estimated from the
            first seconds, while the visible frames stand alone.
        rate: frames a second of sequences of pictures.
        pairing: times, limits, and how long a source that was lost is waited for. An offset of a live
            infrared source holds the frames of the other side back by as much.
        playing: how files are played, and for how long.
        max_width: pixels; wider visible frames are scaled down, so that the machine keeps pace.
        say: called with a line when the state of a source changes.
        told: called with the state after every picture, and twice a second while none is made.

    Raises:
        InputError: a source that does not come in time, is damaged or lost for too long, frames of another
            size than before, an output that cannot be written; what was fused until then is whole.
        MissingDependency: PyAV is not installed.
    """
    check_installed()
    plan = with_words(replace(plan, max_width=max_width))
    for output in outputs:
        if isinstance(output, Recording):
            check_output(output.path, plan.overwrite, (infrared, visible))
    once = replace(pairing, reconnect=0.0)
    both = openers(infrared, visible, plan.infrared, rate, once, prompt=True)
    both = both[0], replace(both[1], widest=max_width)
    offset = pairing.offset()
    if pairing.ir_offset == "auto":
        offset = estimated_offset(both[0](), both[1](), plan.align)
    changed = threading.Condition()
    feeds = [
        Feed(side, shown(opener.place), opener, playing, changed)
        for side, opener in zip(("infrared", "visible"), both)
    ]
    fuser = fuser or Fuser(task=plan.task)
    pipeline = Pipeline(fuser, plan, Flow(plan, fuser.range, feeds[0].name))
    live = _Live(feeds[0], feeds[1], changed, pipeline, pairing, playing, outputs)
    live.say, live.told = say, told
    return live.run(both[0].place == both[1].place, offset)


class _Live:
    """One run."""

    say: Callable[[str], None]
    told: Callable[[Status], None]

    def __init__(
        self,
        infrared: Feed,
        visible: Feed,
        changed: threading.Condition,
        pipeline: Pipeline,
        pairing: Pairing,
        playing: Playing,
        outputs: Sequence[Output],
    ) -> None:
        self.infrared, self.visible, self.changed = infrared, visible, changed
        self.feeds = infrared, visible
        self.pipeline, self.pairing, self.playing = pipeline, pairing, playing
        assert isinstance(pipeline.memory, Flow)
        self.memory = pipeline.memory
        self.outputs = list(outputs)
        self.counts = Counts()
        self.learner = _Learner(self.memory)
        self.size: tuple[int, int] | None = None  # (H, W) of the pictures
        self.start = time.monotonic()
        self._states: dict[str, State] = {}
        self._said_at = dict.fromkeys(("infrared", "visible"), self.start)
        self._told_at = 0.0
        self._oldest = 0.0
        self._note = ""  # on the time of both sources

    def run(self, same: bool, offset: float | None) -> LiveSummary:
        """All of it."""
        stopped, failure, notes = False, None, []
        path = self.pipeline.plan.measuring.table
        table = Table(path) if path else None
        try:
            self._wait_for_both()
            self._begin(same, offset)
            while (pair := self._next()) is not None:
                self._fuse(*pair, table)
        except KeyboardInterrupt:
            stopped = True
        except BaseException as error:  # what was fused so far is worth keeping
            failure = error
        seconds = time.monotonic() - self.start
        for feed in self.feeds:
            feed.stop()
        for output in self.outputs:
            try:
                notes.append(output.close())
            except Exception as error:
                failure = failure or error
        if table is not None:
            with suppress(OSError):
                table.close()
        if failure is not None:
            self._raise(failure)
        return self._summary(seconds, stopped, [note for note in notes if note])

    def _wait_for_both(self) -> None:
        """Until a frame of each has come. InputError where that takes too long."""
        end = time.monotonic() + self.pairing.timeout + _TURN
        with self.changed:
            while not all(feed.is_there for feed in self.feeds):
                for feed in self.feeds:
                    if feed.is_over and not feed.is_there:
                        raise feed.error or InputError(f"{feed.name} holds no frames")
                    if feed.error is not None and self._states.get(feed.side) != "lost":
                        self._states[feed.side] = "lost"
                        self.say(f"{feed.side}: {str(feed.error).partition(';')[0]}; waiting")
                if time.monotonic() > end:
                    raise self._silent()
                self.changed.wait(_TURN)

    def _silent(self) -> Exception:
        from fsidfusion.fusion.sources import silent

        feed = next(feed for feed in self.feeds if not feed.is_there)
        if feed.error is not None:
            why = str(feed.error).partition(";")[0]
            return InputError(f"{why}; it did not come within {self.pairing.timeout:g} s (`timeout`)")
        return silent(feed.name, self.pairing.timeout)

    def _begin(self, same: bool, offset: float | None) -> None:
        infrared, visible = (feed.source for feed in self.feeds)
        assert infrared is not None and visible is not None
        assert self.visible.size is not None
        check_streams(infrared, same, self.pairing)
        is_live = infrared.is_live or visible.is_live
        begun, self._note = (offset or 0.0), ""
        if not is_live:
            begun, self._note = later(infrared, visible, offset, self.pairing)
        if is_live and abs(begun) > LONGEST_DELAY:
            raise InputError(
                f"`ir_offset` {begun:g}: frames of live sources are held back by {LONGEST_DELAY:g} s at most"
            )
        self._oldest = limit_of_age(float(infrared.rate) * self.playing.speed, True, self.pairing.max_age)
        dark = np.zeros(self.visible.size, np.uint8)
        self.pipeline.fuser.fuse_luma([dark], [dark])  # what is prepared once must not delay a frame
        with self.changed:
            self.start = time.monotonic()
            self._said_at = dict.fromkeys(self._said_at, self.start)
            self._states = dict.fromkeys(self._said_at, "waiting")
            hold = begun if is_live else 0.0
            self.infrared.begin(self.start, begun, max(0.0, hold) if infrared.is_live else 0.0)
            self.visible.begin(self.start, 0.0, max(0.0, -hold))

    def _next(self) -> "tuple[Frame, Frame | None] | None":
        """The newest visible frame and its infrared one; None at the end. Raises what ended a source."""
        with self.changed:
            while True:
                now = time.monotonic()
                self._look(now)
                if self.playing.duration is not None and now - self.start >= self.playing.duration:
                    return None
                ours, seen = self.infrared.newest(now), self.visible.newest(now)
                wait = _TURN
                if seen is not None and self.visible.is_fresh:
                    patience = _PATIENCE if ours is not None else self._oldest  # for the first one
                    left = seen.came + self.visible.delay + patience - now
                    if left <= 0 or not self.infrared.waits_for(seen.seconds, patience):
                        near = ours is not None and abs(ours.seconds - seen.seconds) <= self._oldest
                        if not near and self.infrared.is_over:
                            return None
                        self.visible.use()
                        if near:
                            self.infrared.use()
                        return seen, ours if near else None
                    wait = left
                elif self.visible.is_over:
                    return None
                due = [held for feed in self.feeds if (held := feed.due(now)) is not None]
                self.changed.wait(max(0.0005, min([wait, *due])))

    def _look(self, now: float) -> None:
        """Tell what has changed. Raises the failure of a source that does not come back."""
        from fsidfusion.fusion.sources import silent

        limit = self.pairing.reconnect
        for feed in self.feeds:
            if feed.is_over and feed.error is not None:
                raise feed.error
            if feed.lost_since is not None and now - feed.lost_since > limit:
                raise InputError(
                    f"{feed.name} was lost and did not come back within {limit:g} s (`reconnect`)"
                )
            if feed.silent_for(now) > self.pairing.timeout + limit:
                raise silent(feed.name, self.pairing.timeout + limit)
            state, before = feed.state_at(now), self._states[feed.side]
            if state != before and state != "ended":
                self._states[feed.side] = state
                self._tell(feed, state, before, now)
        if now - self._told_at > _TOLD:
            self._tell_status(now)

    def _tell(self, feed: Feed, state: State, before: State, now: float) -> None:
        away = now - self._said_at[feed.side]
        if before == "live":
            self._said_at[feed.side] = now
        meanwhile = "the picture stands still" if feed is self.visible else "the visible picture stands alone"
        if state == "live" and before != "waiting":
            self.say(f"{feed.side} {feed.name} is back after {away:.1f} s")
        elif state == "silent":
            self.say(f"{feed.side} {feed.name} sends nothing: {meanwhile}")
        elif state == "lost":
            why = str(feed.error).partition(";")[0]
            self.say(f"{feed.side} is lost ({why}) and waited for: {meanwhile}")

    def _fuse(self, seen: "Frame", ours: "Frame | None", table: Table | None) -> None:
        learning = self.learner.is_learning(seen, ours)
        fusion = to_fusion((self.infrared.name, self.visible.name), seen, None if learning else ours)
        self._check_size(seen.pixels)
        self.pipeline(fusion)
        assert fusion.result is not None
        if not self.counts.frames:
            assert self.visible.source is not None
            for output in self.outputs:
                output.begin(fusion.result.pixels.shape[:2], self.visible.source)
        for output in list(self.outputs):
            try:
                output.put(fusion.result.pixels, seen.seconds)
            except BrokenPipeError:  # its reader went away; the others go on
                self.outputs.remove(output)
                if not self.outputs:
                    raise
        if table is not None:
            table.add(seen.seconds, fusion.measures)
        now = time.monotonic()
        self.counts.add(now, now - seen.came)
        self.counts.alone += ours is None
        self.counts.early += learning and ours is not None
        self._tell_status(now)

    def _check_size(self, pixels: Pixels) -> None:
        size = pixels.shape[:2]
        self.size = self.size or (int(size[0]), int(size[1]))
        if size != self.size:
            (height, width), (before, wide) = size, self.size
            raise InputError(
                f"{self.visible.name} now sends frames of {width}x{height}, and sent {wide}x{before};"
                " begin anew"
            )

    def _tell_status(self, now: float) -> None:
        self._told_at = now
        infrared, visible = (feed.side_at(now) for feed in self.feeds)
        rate, latency = self.counts.lately(now)
        counts = self.counts
        note = self.memory.note
        self.told(
            Status(now - self.start, counts.frames, rate, latency, counts.alone, (infrared, visible), note)
        )

    def _summary(self, seconds: float, stopped: bool, notes: list[str]) -> LiveSummary:
        counts, now = self.counts, time.monotonic()
        height, width = self.size or (0, 0)
        early = f"the first {counts.early} pictures show the visible one alone, until it was aligned"
        note = "; ".join(filter(None, (self._note, self.memory.note, early if counts.early else "", *notes)))
        return LiveSummary(
            counts.frames,
            height,
            width,
            seconds,
            counts.delays.at(0.5),
            counts.delays.at(0.95),
            counts.alone,
            (self.infrared.side_at(now), self.visible.side_at(now)),
            stopped,
            note,
        )

    def _raise(self, failure: BaseException) -> None:
        kept = [output for output in self.outputs if isinstance(output, Recording) and output.kept]
        if isinstance(failure, FusionError) and kept:
            more = "; ".join(f"{output.kept} frames were kept in {output.path}" for output in kept)
            raise type(failure)(f"{failure}; {more}") from failure
        raise failure


class _Learner:
    """Estimates the alignment from the first seconds, in a thread of its own."""

    def __init__(self, memory: Flow) -> None:
        self._memory = memory
        self._is_wanted = memory.alignment.frames_to_learn > 0
        self._pairs: list[tuple[Pixels, Pixels]] = []
        self._last = -_APART
        self._thread: threading.Thread | None = None
        self._failure: Exception | None = None

    def is_learning(self, seen: "Frame", ours: "Frame | None") -> bool:
        """Whether the alignment is wanted and not yet known. Raises what the estimate failed with."""
        if not self._is_wanted:
            return False
        if self._thread is None:
            if ours is not None and seen.seconds - self._last >= _APART and np.ptp(ours.pixels) > 0:
                self._last = seen.seconds
                self._pairs.append((ours.pixels, seen.pixels))
            if len(self._pairs) == _LEARNT_FROM:
                self._thread = threading.Thread(target=self._learn, daemon=True)
                self._thread.start()
            return True
        if self._thread.is_alive():
            return True
        self._is_wanted = False
        if self._failure is not None:
            raise self._failure
        return False

    def _learn(self) -> None:
        try:
            self._memory.alignment.learn(self._pairs)
        except Exception as error:
            self._failure = error
        finally:
            self._pairs = []
