"""Frames into a video file that is whole, or is not there."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from fractions import Fraction
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import av
import numpy as np
from av.video.frame import VideoFrame

from fsidfusion.errors import InputError
from fsidfusion.fusion.decoding import reformatted
from fsidfusion.images.atomic import Part
from fsidfusion.images.pixels import Pixels

CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
QUALITY = 18  # constant rate factor of x264; of VP9 30 looks alike
_CLOCK = Fraction(1, 90_000)  # of written frames
_LIKE_VP9 = 12  # what VP9 adds to a factor


class VideoWriter:
    """A video file that appears under its name when it is whole, also after an early end.

    Until then it is written beside it under another name, in fragments that can be read up to the last one.
    """

    def __init__(
        self,
        path: Path,
        size: tuple[int, int],
        rate: Fraction,
        sound: str | None = None,
        aspect: Fraction = Fraction(1),
        metadata: Mapping[str, str] | None = None,
        quality: int = QUALITY,
    ) -> None:
        """Begin a file.

        Args:
            path: .mp4, .mov, .mkv or .webm.
            size: (H, W) of the frames; an odd side grows by one pixel, which players need.
            rate: frames a second.
            sound: a file whose sound is carried over as it is.
            aspect: width of a pixel by its height.
            metadata: when and where the frames were taken.
            quality: constant rate factor of x264, 0 (lossless) to 51.
        """
        self._aspect, self._metadata, self._quality = aspect, dict(metadata or {}), quality
        self.note = ""
        self.kept = False  # at least a part of it, under its name
        self.path = path
        self._height, self._width = size
        self._rate = rate
        try:
            self._part = Part(path)
        except OSError as error:
            raise InputError(f"{path} cannot be written ({error.strerror}); choose another output") from error
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
        if self._odd:
            room = [(0, side % 2) for side in pixels.shape[:2]] + [(0, 0)] * (pixels.ndim - 2)
            pixels = np.pad(pixels, room, "edge")
        frame = VideoFrame.from_ndarray(np.ascontiguousarray(pixels), "gray" if pixels.ndim == 2 else "rgb24")
        colours = {"dst_colorspace": "ITU709", "dst_color_range": "MPEG"}
        frame = reformatted(frame, self._stream.pix_fmt, **colours)
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
        options = {"movflags": f"{fragments}+use_metadata_tags"} if kind in ("mp4", "mov") else {}
        self._file = _File(self._part.path)
        self._container = av.open(self._file, "w", format=kind, options=options)
        webm = kind == "webm"
        codec = "libvpx-vp9" if webm else "libx264"
        settings = (
            {
                "crf": str(min(63, self._quality + _LIKE_VP9)),
                "b": "0",
                "deadline": "realtime",
                "cpu-used": "6",
                "row-mt": "1",
            }
            if webm
            else {"crf": str(self._quality), "preset": "veryfast"}
        )
        stream: Any = self._container.add_stream(codec, rate=self._rate, options=settings)
        self._container.metadata.update(self._metadata)
        self._odd = bool(self._width % 2 or self._height % 2)
        stream.width, stream.height = self._width + self._width % 2, self._height + self._height % 2
        stream.pix_fmt = "yuv420p"
        if self._aspect != 1:
            stream.codec_context.sample_aspect_ratio = self._aspect
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
        try:
            self._container.close()
        finally:
            self._file.close()
            if self._sound:
                self._sound.close()


class _Raw(FileIO):
    """The file itself: some bytes of those that are given are written."""


class _File:
    """What FFmpeg writes into, which tells no failure of what it has kept back until the end."""

    def __init__(self, path: Path) -> None:
        self._stream = _Raw(path, "r+")
        self._failure: OSError | None = None
        self.seek, self.tell = self._stream.seek, self._stream.tell

    def write(self, content: bytes) -> int:
        """Write all of it."""
        rest = memoryview(content)
        try:
            while rest:
                rest = rest[self._stream.write(rest) :]
        except OSError as error:
            self._failure = self._failure or error
            raise
        return len(content)

    def close(self) -> None:
        """End it. OSError where something was not written."""
        self._stream.close()
        failure, self._failure = self._failure, None
        if failure:
            raise failure


def _plays(path: Path) -> bool:
    """Whether a file that was cut off shows a frame."""
    try:
        with av.open(str(path)) as container:
            return next(container.decode(video=0), None) is not None
    except Exception:  # whatever FFmpeg says: it does not
        return False
