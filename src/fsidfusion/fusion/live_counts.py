"""What a live run counts: how late its pictures are, how many came, and what it is at a moment."""

from collections import deque
from dataclasses import dataclass

import numpy as np

from fsidfusion.fusion.feed import Side

_STEP = 0.001  # seconds: how exactly delays are told
_MOST = 20_000  # steps that are told apart
_LATELY = 50  # pictures


class Delays:
    """How late pictures were; it takes the same memory however many there are."""

    def __init__(self) -> None:
        self._counts = np.zeros(_MOST + 1, np.int64)

    def add(self, seconds: float) -> None:
        """One more."""
        self._counts[min(_MOST, max(0, round(seconds / _STEP)))] += 1

    def at(self, share: float) -> float:
        """Seconds that this share of all took at most; 0 without any."""
        total = int(self._counts.sum())
        if not total:
            return 0.0
        return float(np.searchsorted(np.cumsum(self._counts), max(1.0, share * total))) * _STEP


@dataclass(frozen=True)
class Status:
    """What a live view is at a moment."""

    seconds: float  # since it began
    frames: int
    rate: float  # pictures a second, lately
    latency: float  # seconds from the newest frame to the picture: the median, lately
    alone: int  # pictures without an infrared frame near in time
    sides: tuple[Side, Side]  # infrared, visible
    note: str = ""  # what was settled or estimated

    def record(self) -> dict[str, object]:
        """The same for programs; times in milliseconds."""
        return {
            "seconds": round(self.seconds, 1),
            "frames": self.frames,
            "fps": round(self.rate, 1),
            "latency_ms": round(1000 * self.latency),
            "visible_alone": self.alone,
            "note": self.note,
            "sources": [
                {
                    "side": side.side,
                    "name": side.name,
                    "state": side.state,
                    "fps": round(side.rate, 1),
                    "frames": side.frames,
                    "dropped": side.dropped,
                    "reconnects": side.reconnects,
                    "age": None if side.age is None else round(side.age, 1),
                }
                for side in self.sides
            ],
        }


@dataclass(frozen=True)
class LiveSummary:
    """What a live run was."""

    frames: int
    height: int
    width: int
    seconds: float  # that it ran
    latency: float  # seconds from the newest frame to the picture: the median
    latency_p95: float
    alone: int  # pictures without an infrared frame near in time
    sides: tuple[Side, Side]  # infrared, visible: what came, what was dropped
    stopped: bool = False  # by the user, before the end
    note: str = ""

    @property
    def rate(self) -> float:
        """Pictures a second."""
        return self.frames / self.seconds if self.seconds > 0 else 0.0

    def line(self) -> str:
        """In words."""
        dropped, back = (
            ", ".join(f"{getattr(side, name)} {side.side}" for side in self.sides)
            for name in ("dropped", "reconnects")
        )
        return (
            f"{self.width}x{self.height}, {self.frames} frames in {self.seconds:.1f} s, {self.rate:.1f} fps;"
            f" latency {1000 * self.latency:.0f} ms (median), {1000 * self.latency_p95:.0f} ms (95 %);"
            f" dropped: {dropped}; visible alone: {self.alone}; reconnects: {back}"
        )

    def record(self) -> dict[str, object]:
        """The same for programs; times in milliseconds."""
        return {
            "frames": self.frames,
            "width": self.width,
            "height": self.height,
            "seconds": round(self.seconds, 3),
            "fps": round(self.rate, 2),
            "latency_ms": {
                "median": round(1000 * self.latency, 1),
                "p95": round(1000 * self.latency_p95, 1),
            },
            "dropped": {side.side: side.dropped for side in self.sides},
            "received": {side.side: side.frames for side in self.sides},
            "reconnects": {side.side: side.reconnects for side in self.sides},
            "visible_alone": self.alone,
            "stopped": self.stopped,
            "note": self.note,
        }


class Counts:
    """The counters of a run."""

    def __init__(self) -> None:
        self.frames = self.alone = self.early = 0  # early: before the alignment was known
        self.delays = Delays()
        self._lately: deque[tuple[float, float]] = deque(maxlen=_LATELY)  # (when, how late)

    def add(self, now: float, latency: float) -> None:
        """A picture that was handed over at ``now``."""
        self.frames += 1
        self.delays.add(latency)
        self._lately.append((now, latency))

    def lately(self, now: float) -> tuple[float, float]:
        """Pictures a second, and the median latency, of the last ones; 0 where none came for a while."""
        if len(self._lately) < 2 or now - self._lately[-1][0] > 1.0:
            return 0.0, 0.0
        span = self._lately[-1][0] - self._lately[0][0]
        rate = (len(self._lately) - 1) / span if span > 0 else 0.0
        return rate, float(np.median([latency for _, latency in self._lately]))
