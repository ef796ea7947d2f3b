"""Where the pictures of a live view go. No output makes the fusion wait: what it cannot take is left out."""

import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, Protocol

import numpy as np

from fsidfusion.errors import InputError
from fsidfusion.fusion.scheduler import Behind
from fsidfusion.images.atomic import Part
from fsidfusion.images.pixels import Pixels
from fsidfusion.thermal.measure import TABLE_HEAD, Measures, table_row

if TYPE_CHECKING:
    from fsidfusion.fusion.sources import Source
    from fsidfusion.fusion.video_files import VideoWriter

Kind = Literal["ts", "mkv", "y4m", "rgb"]

WAITING = 8  # pictures that may wait to be written
_PATIENCE = 1.0  # seconds that a reader has at the end
_KEYFRAMES = 1.0  # seconds between pictures at which a reader may begin


class Output(Protocol):
    """Takes pictures (H, W[, 3]) uint8 with the seconds since the start."""

    left_out: int  # pictures that it could not take in time

    def begin(self, size: tuple[int, int], visible: "Source") -> None:
        """Called once, with the size (H, W) of the pictures."""

    def put(self, pixels: Pixels, seconds: float) -> None:
        """Take a picture, or leave it out; never wait. Raises what writing failed with."""

    def close(self) -> str:
        """Finish; the note on what should be known, or ""."""


class Recording:
    """A video file, which is whole when it is closed, also after an early end."""

    def __init__(self, path: Path, crf: int) -> None:
        """``crf`` is the constant rate factor."""
        self.path, self.left_out, self.kept = path, 0, 0
        self._crf = crf
        self._writer: VideoWriter | None = None
        self._behind: Behind[tuple[Pixels, float]] | None = None

    def begin(self, size: tuple[int, int], visible: "Source") -> None:
        """Begin the file; InputError where it cannot be written."""
        from fsidfusion.fusion.video_files import VideoWriter

        rate = visible.rate if 1 <= visible.rate <= 240 else Fraction(25)  # addresses tell nonsense
        self._writer = writer = VideoWriter(
            self.path, size, rate, None, visible.aspect, visible.metadata, self._crf
        )
        self._behind = Behind(lambda item: writer.write(*item), WAITING)

    def put(self, pixels: Pixels, seconds: float) -> None:
        """Have a frame encoded."""
        assert self._behind is not None
        try:
            taken = self._behind.offer((pixels, seconds))
        except OSError as error:
            raise self._unwritten(error) from error
        self.left_out += not taken
        self.kept += taken

    def close(self) -> str:
        """Make it whole, or leave none where it holds no frame; InputError where it cannot be written."""
        if self._writer is None or self._behind is None:
            return ""
        self._behind.close()
        try:
            if self.kept:
                self._writer.close()
            else:
                self._writer.discard()
        except OSError as error:
            self._writer.discard()
            raise self._unwritten(error) from error
        if isinstance(self._behind.failure, OSError):
            raise self._unwritten(self._behind.failure)
        if self._behind.failure is not None:
            raise self._behind.failure
        late = f"{self.left_out} frames were left out of {self.path}, which was written too slowly"
        return late if self.left_out else ""

    def _unwritten(self, error: OSError) -> InputError:
        kept = "; what was written until then is kept" if self._writer and self._writer.kept else ""
        return InputError(f"{self.path} cannot be written to its end ({error.strerror}); make room{kept}")


class StandardOutput:
    """A stream of pictures for another program.

    ``ts`` is H.264 in MPEG-TS and ``mkv`` the same in Matroska, both without a delay for better compression;
    ``y4m`` is YUV4MPEG2 (4:2:0), ``rgb`` the bare bytes of 24-bit RGB pictures.
    """

    def __init__(self, kind: Kind, crf: int, stream: BinaryIO) -> None:
        """``stream`` is written by a thread of its own, and not closed."""
        self.left_out = 0
        self._kind, self._crf, self._stream = kind, crf, stream
        self._behind: Behind[tuple[Pixels, float]] | None = None
        self._write: Callable[[Pixels, float], None] = self._bare
        self._container: Any = None
        self._video: Any = None

    def begin(self, size: tuple[int, int], visible: "Source") -> None:
        """Begin the stream."""
        if self._kind != "rgb":
            self._open(size, visible)
            self._write = self._coded
        self._behind = Behind(lambda item: self._write(*item), WAITING)

    def put(self, pixels: Pixels, seconds: float) -> None:
        """Have a picture written; BrokenPipeError where nobody reads any more."""
        assert self._behind is not None
        self.left_out += not self._behind.offer((pixels, seconds))

    def close(self) -> str:
        """End the stream, if its reader takes the rest."""
        if self._behind is None:
            return ""
        if self._behind.close(_PATIENCE) and self._behind.failure is None and self._container is not None:
            rest: Behind[None] = Behind(lambda item: self._end(), 1)  # a reader that stands still is left
            rest.put(None)
            rest.close(_PATIENCE)
        late = f"{self.left_out} frames were left out of standard output, which was read too slowly"
        return late if self.left_out else ""

    def _open(self, size: tuple[int, int], visible: "Source") -> None:
        import av

        rate = visible.rate if 1 <= visible.rate <= 240 else Fraction(25)
        formats = {"ts": "mpegts", "mkv": "matroska", "y4m": "yuv4mpegpipe"}
        options = {"flush_packets": "1"}
        if self._kind == "mkv":
            options |= {"live": "1", "cluster_time_limit": "100"}
        self._container = av.open(self._stream, "w", format=formats[self._kind], options=options)
        settings = {"crf": str(self._crf), "preset": "veryfast", "tune": "zerolatency"}
        is_raw = self._kind == "y4m"
        stream: Any = self._container.add_stream(
            "rawvideo" if is_raw else "libx264", rate=rate, options={} if is_raw else settings
        )
        height, width = size
        stream.width, stream.height = width + width % 2, height + height % 2
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        if not is_raw:
            context.time_base = Fraction(1, 90_000)
            context.gop_size = max(1, round(_KEYFRAMES * rate))
        context.colorspace = context.color_primaries = context.color_trc = 1  # BT.709
        context.color_range = 1
        self._video, self._number = stream, 0

    def _coded(self, pixels: Pixels, seconds: float) -> None:
        from av.video.frame import VideoFrame

        from fsidfusion.fusion.decoding import reformatted

        room = [(0, side % 2) for side in pixels.shape[:2]] + [(0, 0)] * (pixels.ndim - 2)
        if any(after for _, after in room):
            pixels = np.pad(pixels, room, "edge")
        frame = VideoFrame.from_ndarray(np.ascontiguousarray(pixels), "gray" if pixels.ndim == 2 else "rgb24")
        frame = reformatted(frame, "yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG")
        if self._kind == "y4m":  # whose frames have no times
            frame.pts, self._number = self._number, self._number + 1
        else:
            frame.time_base = self._video.codec_context.time_base
            frame.pts = round(seconds / frame.time_base)
        for packet in self._video.encode(frame):
            self._container.mux(packet)

    def _bare(self, pixels: Pixels, seconds: float) -> None:
        if pixels.ndim == 2:
            pixels = np.repeat(pixels[..., None], 3, axis=2)
        content = memoryview(np.ascontiguousarray(pixels).reshape(-1).data)
        while content:  # an unbuffered stream may take a part
            content = content[self._stream.write(content) or 0 :]

    def _end(self) -> None:
        for packet in self._video.encode(None):
            self._container.mux(packet)
        self._container.close()


class Table:
    """A CSV of temperatures, one row a picture, that is whole when it is closed; rows take no memory."""

    def __init__(self, path: Path) -> None:
        """InputError where it cannot be written."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._part = Part(path)
        except OSError as error:
            raise InputError(f"cannot write {path} ({error.strerror}); choose another place") from error
        self._rows = 0
        self._stream = self._part.path.open("w", encoding="utf-8")
        self._stream.write(TABLE_HEAD.replace("name", "seconds", 1) + "\n")

    def add(self, seconds: float, measures: Measures | None) -> None:
        """One more row."""
        self._stream.write(table_row(f"{seconds:.3f}", measures) + "\n")
        self._rows += 1

    def close(self) -> None:
        """Give it its name, or leave none where it holds no row."""
        self._stream.close()
        if self._rows:
            self._part.commit()
        self._part.close()


def standard_output(kind: Kind, crf: int) -> StandardOutput:
    """Standard output as a binary stream, which nothing else of the run writes to."""
    return StandardOutput(kind, crf, open(sys.stdout.fileno(), "wb", buffering=0, closefd=False))
