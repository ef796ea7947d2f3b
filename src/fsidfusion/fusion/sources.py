"""Frames from videos, recordings of FLIR, picture sequences, addresses and cameras."""

import errno
import mmap
import re
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from glob import glob
from pathlib import Path
from typing import Any, TypeVar

import av

from fsidfusion.errors import InputError
from fsidfusion.fusion.addresses import is_address, shown
from fsidfusion.fusion.decoding import Deinterlacer, Upright, to_pixels, to_words
from fsidfusion.fusion.devices import Form, device_of, is_pipe, open_camera, watch_camera
from fsidfusion.fusion.frame_times import Start, Times, date_of, of_list, of_names, stamp_of
from fsidfusion.images.encode import FORMATS
from fsidfusion.images.files import read_picture
from fsidfusion.images.pixels import Pixels
from fsidfusion.thermal.flir import MAGIC, frames
from fsidfusion.thermal.radiometric import levels_of

T = TypeVar("T")

_AV_ERRORS = (OSError, ValueError, av.error.FFmpegError)
_SPOILT = 250  # packets in a row that cannot be decoded before a live source is given up
_LARGEST = 2**60  # bytes; FFmpeg tells more of a download whose length is not known
_AGAIN = 0.5  # seconds between two attempts to open an address again
TIMEOUT = 10.0  # seconds without a frame after which a live source counts as silent
_TRANSPORT_STREAMS = ("mpegts", "rtsp", "hls")  # whose times begin anywhere
_CARRIED = ("creation_time", "location", "location-eng", "make", "model", "artist", "comment")
_APPLE = "com.apple.quicktime."


@dataclass(frozen=True)
class Take:
    """How one source is taken."""

    rate: float = 25.0  # frames a second of a sequence of pictures
    stream: int = 0  # of the video streams in a file
    times: Path | None = None  # a list with the time of each frame
    timeout: float = TIMEOUT  # seconds; see TIMEOUT
    reconnect: float = 0.0  # seconds that an address which was lost is waited for
    words: bool = False  # the lower half of the frames holds 16-bit words
    form: Form | None = None  # of the frames of a device or of a stream without a container
    prompt: bool = False  # no frame waits for the next ones to be decoded


@dataclass(frozen=True)
class Frame:
    """One decoded frame."""

    seconds: float  # from the first frame on
    pixels: Pixels  # (H, W) gray or (H, W, 3) RGB: uint8 or uint16; (H, W) float32 degrees Celsius
    came: float = 0.0  # when it came to this machine, on the monotonic clock; 0: not known


@dataclass(frozen=True)
class Source:
    """Where frames come from; iterate it once."""

    name: str  # as it may be shown: without passwords
    frames: Iterator[Frame]
    rate: Fraction  # a second, on average
    count: int | None = None  # about how many, where that is known
    file: str | None = None  # that may hold sound, and can be opened again
    start: Start = field(default_factory=Start)
    seconds: float | None = None  # how long it lasts, where that is known
    aspect: Fraction = Fraction(1)  # width of a pixel by its height
    metadata: dict[str, str] = field(default_factory=dict)  # when and where it was taken
    is_live: bool = False
    streams: int = 1  # of video in the file
    losses: list[str] = field(default_factory=list)  # when a live source was lost, and for how long


def open_source(place: str, take: Take = Take(), read: Callable[[Path], Pixels] | None = None) -> Source:
    """Open a video or recording, an address, a folder or glob of pictures, or a camera by its number.

    A name that exists is what it names, whatever signs are in it.

    Args:
        place: such as ``ir.mp4``, ``ir.seq``, ``rtsp://...``, ``frames/``, ``'frames/*.png'``,
            ``/dev/video0`` or ``0``; ``-`` is standard input.
        take: rate, stream and times.
        read: decodes one picture of a sequence; :func:`fsidfusion.images.files.read_picture` by default.

    Raises:
        InputError: nothing there, or nothing that holds frames.
    """
    path = Path(place)
    if device := device_of(place, take.form, take.words):
        return _video(device, take, "v4l2")
    if place.isdigit() and not path.exists():
        return _camera(int(place), take)
    if "://" not in place and (path.is_dir() or (not path.exists() and any(mark in place for mark in "*?["))):
        return _sequence(place, take, read or (lambda path: read_picture(path).pixels))
    if path.is_file() and take.form is None:
        with path.open("rb") as stream:
            if stream.read(4) == MAGIC:
                return _recording(path, take)
    return _video(place, take)


def patiently(work: Callable[[], T], seconds: float, name: str) -> T:
    """Run something that may wait for a camera, without being deaf to Ctrl-C.

    Raises:
        InputError: it has not ended after so many seconds.
    """
    result: list[Any] = []

    def run() -> None:
        try:
            result.append((True, work()))
        except BaseException as error:
            result.append((False, error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    end = time.monotonic() + seconds
    while thread.is_alive() and time.monotonic() < end:
        thread.join(0.1)
    if not result:
        raise silent(name, seconds)
    done, value = result[0]
    if not done:
        raise value
    return value


def silent(name: str, seconds: float) -> InputError:
    """The error for a source that sends nothing."""
    return InputError(f"{name} sent nothing for {seconds:g} s; check that it runs, or raise `timeout`")


def _video(place: str, take: Take, kind: str | None = None) -> Source:
    """A file, an address, a pipe or a device; ``kind`` is FFmpeg's name of how it is read, where known."""
    name = shown(place)
    is_live = kind is not None or is_address(place) or is_pipe(place)
    options = {"rtsp_transport": "tcp"} if place.startswith("rtsp") else {}
    if take.form is not None:
        if kind is None:
            kind, more = take.form.of_stream(name)
            options |= more
        else:
            options |= take.form.of_device()
    elif kind and take.words:
        options["input_format"] = "yuyv422"
    try:
        if is_live:
            limits = (take.timeout, take.timeout)
            opening = lambda: av.open(  # noqa: E731
                "pipe:" if place == "-" else place, format=kind, options=options, timeout=limits
            )
            container = patiently(opening, take.timeout + 1, name)
        else:
            container = av.open(place, format=kind, options=options)
    except _AV_ERRORS as error:  # their text may hold the address
        if isinstance(error, InputError):
            raise
        if isinstance(error, av.error.ExitError | TimeoutError):
            raise silent(name, take.timeout) from None
        reason = (
            "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be read ({_why(error)})"
        )
        raise InputError(
            f"{name} {reason}; give a video, a folder of pictures, or a camera's number"
        ) from None
    streams = container.streams.video
    if take.stream >= len(streams):
        container.close()
        if not streams:
            raise InputError(f"{name} holds no video stream; give a video, or a folder of pictures")
        raise InputError(
            f"{name} holds {len(streams)} video streams, counted from 0, not number {take.stream}"
        )
    stream = streams[take.stream]
    stream.thread_type = "SLICE" if take.prompt and is_live else "AUTO"  # threads by frames delay them
    rate = Fraction(stream.average_rate or stream.guessed_rate or 25)
    seconds = container.duration / 1_000_000 if container.duration else None  # FFmpeg counts microseconds
    count = int(stream.frames or 0) or (round(seconds * float(rate)) if seconds else None)
    metadata = _metadata({**container.metadata, **stream.metadata})
    listed = of_list(take.times) if take.times else None
    date = date_of(metadata.get("creation_time"))
    first = None
    if stream.start_time is not None and not any(n in container.format.name for n in _TRANSPORT_STREAMS):
        first = float(stream.start_time * (stream.time_base or 0))
    start = Start(
        exact=date if date is not None and date % 1 else None, date=date, container=0.0 if is_live else first
    )
    if listed:
        start = _start(listed)
    losses: list[str] = []
    decoded = _decode(container, stream, name, rate, take, listed, is_live)
    if is_address(place) and take.reconnect > 0:
        decoded = _kept_up(decoded, place, name, take, losses)
    return Source(
        name,
        decoded,
        rate,
        count,
        None if is_live else place,
        start,
        seconds,
        Fraction(stream.sample_aspect_ratio or 1) or Fraction(1),
        metadata,
        is_live,
        len(streams),
        losses,
    )


def _kept_up(
    decoded: Iterator[Frame], place: str, name: str, take: Take, losses: list[str]
) -> Iterator[Frame]:
    """The frames of a live address, which is opened again where it was lost; times are those of our clock.

    Raises:
        InputError: it did not come back in time.
    """
    begun = time.monotonic()
    once = replace(take, reconnect=0.0)
    base = 0.0
    while True:
        try:
            for frame in decoded:
                yield replace(frame, seconds=base + frame.seconds)
        except InputError:
            pass
        lost = time.monotonic()
        while True:
            if time.monotonic() - lost > take.reconnect:
                raise InputError(f"{name} was lost and did not come back within {take.reconnect:g} s")
            try:
                decoded = open_source(place, once).frames
                first = next(decoded)
            except (InputError, StopIteration):
                time.sleep(_AGAIN)
                continue
            break
        now = time.monotonic()
        base = now - begun
        losses.append(f"{name} was lost after {lost - begun:.1f} s, for {now - lost:.1f} s")
        yield replace(first, seconds=base)


def _frames(container: Any, stream: Any, is_live: bool) -> Iterator[tuple[Any, float]]:
    """Decoded frames, and when each came; what a network has spoilt of a live source is passed over."""
    spoilt, came = 0, 0.0
    try:
        for packet in container.demux(stream):
            came = time.monotonic()
            try:
                found = packet.decode()
            except av.error.InvalidDataError:
                spoilt += 1
                if not is_live or spoilt > _SPOILT:
                    raise
                continue
            spoilt = 0 if found else spoilt
            yield from ((frame, came) for frame in found)
    except OSError as error:
        has_size = 0 < container.size < _LARGEST  # without one, FFmpeg takes the end for a fault
        if not is_live or has_size or error.errno != errno.EIO:
            raise
        for frame in stream.codec_context.decode(None):
            frame.time_base = stream.time_base
            yield frame, came


def _decode(
    container: Any, stream: Any, name: str, rate: Fraction, take: Take, times: Times | None, is_live: bool
) -> Iterator[Frame]:
    start = None
    number = 0
    whole, shown_as = Deinterlacer(), Upright()

    def decoded() -> Iterator[tuple[Any, float]]:
        came = 0.0
        for frame, came in _frames(container, stream, is_live):
            yield from ((each, came) for each in whole(frame))
        yield from ((each, came) for each in whole.rest())

    try:
        for frame, came in decoded():
            seconds = frame.time if frame.time is not None else float(number / rate)
            start = seconds if start is None else start
            if times is not None:
                if number >= len(times.seconds):
                    raise InputError(f"{take.times} holds {number} times, and {name} more frames than that")
                seconds, start = times.seconds[number], 0.0
            number += 1
            pixels = to_words(frame, name) if take.words else to_pixels(frame, shown_as(frame))
            yield Frame(seconds - start, pixels, came)
    except InputError:
        raise
    except _AV_ERRORS as error:
        if isinstance(error, av.error.ExitError | TimeoutError):
            raise silent(name, take.timeout) from None
        raise InputError(
            f"{name} broke off after {number} frames ({_why(error)}); `reconnect` opens it again"
            if is_live
            else f"{name} is damaged after {number} frames ({_why(error)}); copy or save it again"
        ) from None
    finally:
        container.close()


def _recording(path: Path, take: Take) -> Source:
    """FLIR's SEQ, CSQ or FFF: blocks one after the other."""
    try:
        with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
            first = next(frames(content))
            begun, told = first.seconds(), first.rate()
            count = max(1, round(len(content) / max(1, first.length)))
    except (ValueError, StopIteration, struct.error) as error:
        raise InputError(f"{path} is damaged, or no recording of FLIR ({error}); copy it again") from error
    rate = told or take.rate

    def decoded() -> Iterator[Frame]:
        start, last, number = begun, -1.0, 0
        with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
            try:
                for records in frames(content):
                    at = records.seconds()
                    seconds = number / rate
                    if at is not None and start is not None and at - start > last:
                        seconds = at - start
                    last = seconds
                    number += 1
                    yield Frame(seconds, levels_of(records)[0])
            except (ValueError, IndexError, struct.error) as error:
                raise InputError(f"{path} is damaged after {number} frames ({error})") from error

    start = Start(exact=begun)
    fraction = Fraction(rate).limit_denominator(1001)
    return Source(str(path), decoded(), fraction, count, None, start, count / rate)


def _sequence(place: str, take: Take, read: Callable[[Path], Pixels]) -> Source:
    if take.rate <= 0:
        raise InputError(f"{take.rate:g} frames a second make no video; give 1 or more")
    pattern = f"{glob_escaped(place.rstrip('/'))}/*" if Path(place).is_dir() else place
    files = [path for path in map(Path, glob(pattern)) if path.suffix.lower() in FORMATS]  # noqa: PTH207
    files.sort(key=_order)
    if not files:
        raise InputError(f"{place} holds no pictures; expected a sequence such as frame_0001.png")
    times = of_list(take.times, len(files)) if take.times else of_names(files, take.rate)
    frames = (Frame(seconds, read(path)) for seconds, path in zip(times.seconds, files))
    rate = times.rate or take.rate
    return Source(
        place,
        frames,
        Fraction(rate).limit_denominator(1001),
        len(files),
        start=_start(times),
        seconds=times.seconds[min(len(files), len(times.seconds)) - 1] + 1 / rate,
    )


def _order(path: Path) -> Any:
    stamp = stamp_of(path.stem)
    parts = [(0, int(x), "") if x.isdigit() else (1, 0, x) for x in re.split(r"(\d+)", path.name)]
    return (0, stamp, parts) if stamp is not None else (1, 0.0, parts)


def glob_escaped(folder: str) -> str:
    """A folder's name in which no sign stands for others."""
    return re.sub(r"([*?[])", r"[\1]", folder)


def _start(times: Times) -> Start:
    if times.clock == "exact":
        return Start(exact=times.start, date=times.start)
    return Start(**{times.clock: times.start}) if times.clock != "none" else Start()


def _camera(number: int, take: Take) -> Source:
    name = f"camera {number}"
    camera, rate = open_camera(number, lambda opening: patiently(opening, take.timeout, name))
    start = time.monotonic()
    frames = (Frame(came - start, pixels, came) for came, pixels in watch_camera(camera, number))
    return Source(name, frames, rate, is_live=True)


def _metadata(tags: dict[str, str]) -> dict[str, str]:
    """What of a container's tags the result keeps: when, where and with what it was taken."""
    kept = {key: value for key, value in tags.items() if key.lower() in _CARRIED and value}
    for key, value in tags.items():
        if key.startswith(_APPLE) and value:
            short = {"location.ISO6709": "location", "creationdate": "creation_time"}.get(
                key.removeprefix(_APPLE), key.removeprefix(_APPLE)
            )
            if short in _CARRIED:
                kept.setdefault(short, value)
    return kept


def _why(error: BaseException) -> str:
    """What went wrong, without the address that may stand in an error's text."""
    text = getattr(error, "strerror", None) or str(error)
    return shown(" ".join(str(text).split()))[:160]


def changed(source: Source, change: Callable[[Pixels], Pixels]) -> Source:
    """The same source with other pixels."""
    return replace(source, frames=(replace(each, pixels=change(each.pixels)) for each in source.frames))
