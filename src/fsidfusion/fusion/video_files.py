"""Frames from videos, picture sequences and cameras, and frames into a video file."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from glob import glob
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import av
import cv2
import numpy as np
from av.video.frame import VideoFrame

from fsidfusion.errors import InputError
from fsidfusion.images.atomic import Part
from fsidfusion.images.files import FORMATS, read_picture
from fsidfusion.images.pixels import Pixels
from fsidfusion.thermal.validity import is_smooth

CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
QUALITY = "18"  # constant rate factor of x264; of VP9 30 looks alike
_CLOCK = Fraction(1, 90_000)  # of written frames
_DEEP_GRAY = re.compile(r"gray(9|10|12|14|16)(le|be)")  # formats of FFmpeg
_LATE = 1 / 1000  # of a second


@dataclass(frozen=True)
class Frame:
    """One decoded frame."""

    seconds: float  # from the first frame on
    pixels: Pixels  # (H, W) gray or (H, W, 3) RGB, uint8 or uint16


@dataclass(frozen=True)
class Source:
    """Where frames come from; iterate it once."""

    name: str
    frames: Iterator[Frame]
    rate: Fraction  # a second, on average
    count: int | None = None  # about how many, where that is known
    file: str | None = None  # that may hold sound


def open_source(place: str, rate: float = 25.0, read: Callable[[Path], Pixels] | None = None) -> Source:
    """Open a video file or address, a folder or glob of pictures, or a camera by its number.

    Args:
        place: such as ``ir.mp4``, ``rtsp://...``, ``frames/``, ``'frames/*.png'`` or ``0``.
        rate: frames a second of a sequence of pictures.
        read: decodes one picture of a sequence; :func:`fsidfusion.images.files.read_picture` by default.

    Raises:
        InputError: nothing there, or nothing that holds frames.
    """
    if place.isdigit():
        return _camera(int(place))
    if Path(place).is_dir() or any(mark in place for mark in "*?["):
        return _sequence(place, rate, read or (lambda path: read_picture(path).pixels))
    return _video(place)


def _video(place: str) -> Source:
    try:
        container = av.open(place)
    except (OSError, ValueError) as error:  # av's own errors are both
        reason = "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be read ({error})"
        raise InputError(
            f"{place} {reason}; give a video, a folder of pictures, or a camera's number"
        ) from error
    if not container.streams.video:
        container.close()
        raise InputError(f"{place} holds no video stream; give a video, or a folder of pictures")
    stream = container.streams.video[0]
    stream.thread_type = "AUTO"
    rate = stream.average_rate or stream.guessed_rate or Fraction(25)
    count = stream.frames
    if not count and container.duration:
        count = round(container.duration / av.time_base * rate)
    return Source(place, _decode(container, stream, place, rate), Fraction(rate), count or None, place)


def _decode(container: Any, stream: Any, place: str, rate: Fraction) -> Iterator[Frame]:
    start = None
    number = 0
    try:
        for frame in container.decode(stream):
            seconds = frame.time if frame.time is not None else float(number / rate)
            start = seconds if start is None else start
            number += 1
            yield Frame(seconds - start, _pixels(frame))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{place} is damaged after {number} frames ({error}); copy or save it again"
        ) from error
    finally:
        container.close()


def _pixels(frame: VideoFrame) -> Pixels:
    """A frame upright; gray of more than 8 bits keeps them, at the top of 16."""
    name = frame.format.name
    turns = round(getattr(frame, "rotation", 0) / 90) % 4  # counter-clockwise, as phones note them
    if deep := _DEEP_GRAY.fullmatch(name):
        pixels: Pixels = _plane(frame, deep[2]) << (16 - int(deep[1]))
    elif name == "rgb555le" and is_smooth(levels := _plane(frame, "le")):
        pixels = levels  # AVI without a code for 16-bit gray is taken for five bits a colour
    else:
        pixels = frame.to_ndarray(format="gray" if name == "gray" else "rgb24")
    return np.ascontiguousarray(np.rot90(pixels, turns)) if turns else pixels


def _plane(frame: VideoFrame, order: str) -> Pixels:
    """The 16-bit words of a frame's first plane (H, W), as stored."""
    plane: Any = frame.planes[0]
    rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: frame.height, : 2 * frame.width]
    words = np.ascontiguousarray(rows).view("<u2" if order == "le" else ">u2")
    return words.astype(np.uint16)


def _sequence(place: str, rate: float, read: Callable[[Path], Pixels]) -> Source:
    if rate <= 0:
        raise InputError(f"{rate:g} frames a second make no video; give 1 or more")
    pattern = f"{place.rstrip('/')}/*" if Path(place).is_dir() else place
    files = [path for path in map(Path, glob(pattern)) if path.suffix.lower() in FORMATS]  # noqa: PTH207
    files.sort(key=lambda path: [int(x) if x.isdigit() else x for x in re.split(r"(\d+)", path.name)])
    if not files:
        raise InputError(f"{place} holds no pictures; expected a sequence such as frame_0001.png")
    frames = (Frame(i / rate, read(path)) for i, path in enumerate(files))
    return Source(place, frames, Fraction(rate).limit_denominator(1001), len(files))


def _camera(number: int) -> Source:
    camera = cv2.VideoCapture(number)
    if not camera.isOpened():
        raise InputError(f"camera {number} cannot be opened; check that it is there and not in use")
    rate = camera.get(cv2.CAP_PROP_FPS) or 25.0
    return Source(f"camera {number}", _watch(camera, number), Fraction(rate).limit_denominator(1001))


def _watch(camera: Any, number: int) -> Iterator[Frame]:
    """Frames until the camera stops, which is an error: the scene had not ended."""
    start = time.monotonic()
    try:
        while True:
            there, pixels = camera.read()
            if not there:
                raise InputError(f"camera {number} stopped to send frames; check its cable")
            yield Frame(time.monotonic() - start, cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB))
    finally:
        camera.release()


class VideoWriter:
    """A video file that appears under its name when it is whole, also after an early end.

    Until then it is written beside it under another name, in fragments that can be read up to the last one.
    """

    def __init__(self, path: Path, size: tuple[int, int], rate: Fraction, sound: str | None = None) -> None:
        """Begin a file of (H, W) frames; ``sound``: a file whose sound is carried over as it is."""
        self.note = ""
        self.kept = False  # at least a part of it, under its name
        self.path = path
        self._part = Part(path)
        self._height, self._width = size
        self._rate = rate
        try:
            self._open(sound)
        except (OSError, ValueError) as error:
            if hasattr(self, "_container"):
                with suppress(OSError, ValueError):
                    self._container.close()
            if sound is None:
                self._part.close()
                raise InputError(f"{path} cannot be written ({error}); choose another output") from error
            self._open(None)
            self.note = (
                f"the sound of {sound} does not fit into {path.suffix} and was left out; .mkv holds any"
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()

    def write(self, pixels: Pixels, seconds: float) -> None:
        """Encode an (H, W) or (H, W, 3) uint8 frame that is shown from ``seconds`` on; these increase."""
        frame = VideoFrame.from_ndarray(np.ascontiguousarray(pixels), "gray" if pixels.ndim == 2 else "rgb24")
        frame = frame.reformat(format=self._stream.pix_fmt, dst_colorspace="ITU709", dst_color_range="MPEG")
        frame.time_base, frame.pts = _CLOCK, round(seconds / _CLOCK)
        self._mux_sound(seconds)
        self._mux(self._stream.encode(frame))
        self._seconds = seconds

    def close(self) -> None:
        """Finish the file, and give it its name.

        Raises:
            OSError: there is no room for the rest; what can be played of it has its name.
        """
        try:
            self._mux(self._stream.encode(None))
            self._mux_sound(self._seconds + float(1 / self._rate))
            self._release()
        except OSError:
            with suppress(OSError):
                self._release()
            if _plays(self._part.path):
                self._part.commit()
                self.kept = True
            raise
        else:
            self._part.commit()
            self.kept = True
        finally:
            self._part.close()

    def discard(self) -> None:
        """Leave nothing."""
        try:
            self._release()
        finally:
            self._part.close()

    def _open(self, sound: str | None) -> None:
        kind = CONTAINERS[self.path.suffix.lower()]
        fragments = "frag_keyframe+delay_moov+default_base_moof"
        options = {"movflags": fragments} if kind in ("mp4", "mov") else {}
        self._container = av.open(str(self._part.path), "w", format=kind, options=options)
        webm = kind == "webm"
        codec = "libvpx-vp9" if webm else "libx264"
        settings = (
            {"crf": "30", "b": "0", "deadline": "realtime", "cpu-used": "6", "row-mt": "1"}
            if webm
            else {"crf": QUALITY, "preset": "veryfast"}
        )
        stream: Any = self._container.add_stream(codec, rate=self._rate, options=settings)
        stream.width, stream.height = self._width, self._height
        odd = self._width % 2 or self._height % 2
        stream.pix_fmt = "yuv444p" if odd else "yuv420p"
        context = stream.codec_context
        context.time_base = _CLOCK
        context.colorspace = context.color_primaries = context.color_trc = 1  # BT.709
        context.color_range = 1  # 16..235
        self._stream = stream
        self._sound: Any = None
        self._packets: Iterator[Any] = iter(())
        if sound is not None and (opened := av.open(sound)).streams.audio:
            self._sound = opened
            template = opened.streams.audio[0]
            target = self._container.add_stream_from_template(template)
            self._packets = ((packet, target) for packet in opened.demux(template) if packet.dts is not None)
        self._held: Any = None  # sound that comes after the frames written so far
        self._seconds = 0.0
        self._container.start_encoding()

    def _mux(self, packets: Any) -> None:
        for packet in packets:
            self._container.mux(packet)

    def _mux_sound(self, until: float) -> None:
        """Sound that begins before ``until``."""
        while self._sound and (held := self._held or next(self._packets, None)):
            self._held = held
            packet, target = held
            if float(packet.dts * packet.time_base) > until:
                return
            packet.stream = target
            self._container.mux(packet)
            self._held = None

    def _release(self) -> None:
        self._container.close()
        if self._sound:
            self._sound.close()


def _plays(path: Path) -> bool:
    """Whether a file that was cut off shows a frame."""
    try:
        with av.open(str(path)) as container:
            return next(container.decode(video=0), None) is not None
    except (OSError, ValueError, IndexError):
        return False
