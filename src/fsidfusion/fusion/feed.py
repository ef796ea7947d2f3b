"""One side of a live view: a thread reads its source, plays files at their own pace, and opens it again.

Nothing queues up: of the frames that have come, the newest alone is kept, and those that nobody used are
counted as dropped.
"""

import threading
import time
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from fsidfusion.errors import FusionError, InputError
from fsidfusion.fusion.addresses import is_address
from fsidfusion.fusion.opening import Opener

if TYPE_CHECKING:
    from fsidfusion.fusion.sources import Frame, Source

State = Literal["waiting", "live", "silent", "lost", "ended"]

LONGEST_DELAY = 2.0  # seconds by which the frames of one side may be held back for the other
SILENT = 1.0  # seconds without a frame after which a source counts as silent
_HELD = 128  # frames that are held back at most
_AGAIN = 0.5  # seconds between two attempts to open a source
_CAMERAS = ("/dev/video", "/dev/v4l")
_LEAST = 0.001  # seconds between two frames
_SHARE = 0.1  # of a new interval between frames in their mean


@dataclass(frozen=True)
class Playing:
    """How long, and how files are played."""

    speed: float = 1.0
    """of files: 1 plays them at their own pace, 2 twice as fast"""
    loop: bool = False
    """play files again from their beginning"""
    duration: float | None = None
    """end after so many seconds; by default with the shorter file, or by Ctrl-C"""

    def __post_init__(self) -> None:
        for name, value in (("speed", self.speed), ("duration", self.duration)):
            if value is not None and value <= 0:
                raise InputError(f"`{name}` {value:g}: expected more than 0")


@dataclass(frozen=True)
class Side:
    """What is known of one source at a moment."""

    side: str  # infrared or visible
    name: str  # as it may be shown
    state: State
    frames: int  # that have come
    dropped: int  # of them, which nobody used
    reconnects: int
    rate: float  # frames a second, lately
    age: float | None  # seconds since the newest frame


class Feed:
    """The newest frame of one source; what others see is guarded by the condition that both sides share."""

    def __init__(
        self, side: str, name: str, opener: Opener, playing: Playing, changed: threading.Condition
    ) -> None:
        """Begin to read.

        Args:
            side: infrared or visible.
            name: of the source, as it may be shown.
            opener: opens it, once or again.
            playing: how a file is played.
            changed: told of every frame and every change of state.
        """
        self.side, self.name = side, name
        self.source: Source | None = None  # once it was opened
        self.size: tuple[int, int] | None = None  # (H, W) of the frames, once one has come
        self.frames = self.dropped = self.reconnects = 0
        self.error: Exception | None = None  # that ended it, or why it is waited for
        self.is_over = False  # no frame will come any more
        self.lost_since: float | None = None  # monotonic clock
        self.delay = 0.0  # seconds by which frames are held back
        self._opener, self._playing, self._changed = opener, playing, changed
        self._held: deque[Frame] = deque()
        self._newest: Frame | None = None
        self._is_used = True
        self._came: float | None = None  # when the last frame came
        self._interval = 0.0  # seconds between frames, on average
        self._start: float | None = None  # of both sides, monotonic clock
        self._later = 0.0  # seconds by which a file begins after the other side
        self._begun, self._stopping = threading.Event(), threading.Event()
        threading.Thread(target=self._run, name=f"fsidfusion-{side}", daemon=True).start()

    @property
    def is_there(self) -> bool:
        """Whether the source was opened and a frame of it has come."""
        return self.source is not None and self.size is not None

    def begin(self, start: float, later: float = 0.0, delay: float = 0.0) -> None:
        """Play from now on; frames that came before do not count.

        Args:
            start: when both sides begin, on the monotonic clock.
            later: seconds after that at which a file begins; what lies before the start is passed over.
            delay: seconds by which frames are held back.
        """
        self._start, self._later, self.delay = start, later, delay
        self.frames = self.dropped = 0
        self._held.clear()
        self._newest, self._is_used = None, True
        self._begun.set()

    def stop(self) -> None:
        """Read no further; a thread that waits for a frame ends with the process."""
        self._stopping.set()
        self._begun.set()

    def newest(self, now: float) -> "Frame | None":
        """The newest frame that is not held back any more; its ``seconds`` are those since the start."""
        while self._held and self._held[0].came + self.delay <= now:
            self.dropped += not self._is_used
            self._newest, self._is_used = self._held.popleft(), False
        return self._newest

    @property
    def is_fresh(self) -> bool:
        """Whether nobody has used the newest frame."""
        return not self._is_used

    def use(self) -> None:
        """The newest frame was used."""
        self._is_used = True

    def due(self, now: float) -> float | None:
        """Seconds until the next held frame counts; None where none is held."""
        return self._held[0].came + self.delay - now if self._held else None

    def waits_for(self, seconds: float, patience: float) -> bool:
        """Whether a frame is likely to come in time that is nearer to ``seconds`` than the newest one."""
        newest = self._newest
        if self.is_over or self.lost_since is not None:
            return False
        if newest is None:
            return True
        if newest.seconds >= seconds or not self._interval:
            return False
        after = newest.seconds + self._interval - seconds
        return after < patience and abs(after) < seconds - newest.seconds

    def side_at(self, now: float) -> Side:
        """What is known at a moment."""
        age = None if self._came is None else max(0.0, now - self._came)
        rate = 1 / self._interval if self._interval and self.state_at(now) == "live" else 0.0
        state = self.state_at(now)
        return Side(self.side, self.name, state, self.frames, self.dropped, self.reconnects, rate, age)

    def state_at(self, now: float) -> State:
        """How it is at a moment."""
        if self.is_over:
            return "ended"
        if self._came is None:
            return "waiting"
        if self.lost_since is not None:
            return "lost"
        is_live = self.source is not None and self.source.is_live
        return "silent" if is_live and now - self._came > SILENT else "live"

    def silent_for(self, now: float) -> float:
        """Seconds without a frame of a live source that is not known to be lost."""
        return now - self._came if self._came is not None and self.state_at(now) == "silent" else 0.0

    def _run(self) -> None:
        base = 0.0  # seconds that a file was played before it began again
        while not self._stopping.is_set():
            try:
                source = self._opener()
                with self._changed:
                    self.source = source
                    self._changed.notify_all()
                if source.is_live:
                    for frame in source.frames:
                        if self._stopping.is_set():
                            return
                        self._put(frame, frame.came or time.monotonic())
                else:
                    base = self._play(source, base)
            except FusionError as error:
                if not self._comes_back():
                    return self._end(error)
                self._lose(error)
            except Exception as error:  # a defect: the caller's thread tells it
                return self._end(error)
            else:
                if not self._comes_back() and not (self._playing.loop and not source.is_live):
                    return self._end(None)
                if source.is_live:
                    self._lose(InputError(f"{self.name} ended"))
            if self.source is None or self.source.is_live:
                self._stopping.wait(_AGAIN)

    def _play(self, source: "Source", base: float) -> float:
        """Hand over each frame of a file at its time; the seconds that all of it takes, with ``base``."""
        last = 0.0
        for frame in source.frames:
            last = frame.seconds
            self.size = frame.pixels.shape[:2]
            with self._changed:
                self._changed.notify_all()
            self._begun.wait()
            assert self._start is not None or self._stopping.is_set()
            if self._stopping.is_set() or self._start is None:
                break
            due = self._start + (base + frame.seconds + self._later) / self._playing.speed
            if due < self._start:
                continue
            if self._stopping.wait(max(0.0, due - time.monotonic())):
                break
            self._put(frame, due)
        return base + last + float(1 / source.rate)

    def _put(self, frame: "Frame", came: float) -> None:
        with self._changed:
            self.size = frame.pixels.shape[:2]
            if self.lost_since is not None:
                self.reconnects += self._came is not None
                self.lost_since, self.error = None, None
            elif self._came is not None:
                came = max(came, self._came + _LEAST)  # two of one packet
                step = came - self._came
                self._interval += (_SHARE if self._interval else 1.0) * (step - self._interval)
            self._came = came
            self.frames += 1
            if len(self._held) >= (_HELD if self.delay else 1):
                self._held.popleft()
                self.dropped += 1
            since = 0.0 if self._start is None else came + self.delay - self._start
            self._held.append(replace(frame, seconds=since, came=came))
            self._changed.notify_all()

    def _comes_back(self) -> bool:
        """Whether it is worth while to open the source again: an address, or a camera that was there."""
        place = self._opener.place
        if is_address(place):
            return True
        is_camera = place.isdigit() or place.startswith(_CAMERAS)
        return is_camera and self.source is not None and self.source.is_live

    def _lose(self, error: Exception) -> None:
        with self._changed:
            self.lost_since = self.lost_since or time.monotonic()
            self.error = error
            self._changed.notify_all()

    def _end(self, error: Exception | None) -> None:
        with self._changed:
            self.error, self.is_over = error, True
            self._changed.notify_all()
