"""A decoded video frame as pixels: upright, whole, and in the colours of sRGB."""

import re
import threading
from functools import lru_cache
from typing import Any

import av
import av.filter
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from fsidfusion.errors import InputError
from fsidfusion.images.pixels import Pixels
from fsidfusion.thermal.validity import is_smooth

_DEEP_GRAY = re.compile(r"gray(9|10|12|14|16)(le|be)")  # formats of FFmpeg
_WIDE, _HIGH = 1280, 577  # columns or rows from which untagged video is BT.709, as players take it
_BT601, _BT709, _BT2020 = "ITU601", "ITU709", 9  # 9: as FFmpeg numbers the colour space
_PQ, _HLG = 16, 18  # transfer functions, as FFmpeg numbers them
_WHITE_HLG, _WHITE_PQ = 0.265, 203 / 10_000  # linear levels of diffuse white (ITU-R BT.2408)
_KNEE = 0.9  # linear level from which highlights are compressed
_kept = threading.local()
# of the work of one frame, which is too short for more; old releases of PyAV know no such option
_ONE_THREAD = {"threads": 1} if "threads=" in (VideoReformatter.reformat.__doc__ or "") else {}
_TO_709 = np.array(  # linear BT.2020 to BT.709 (ITU-R BT.2087)
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float32
)


class Upright:
    """How the frames of one stream are to be shown, looked up when it may have changed.

    A frame whose side data was asked for holds itself until the garbage collector comes, hundreds of frames
    later, so not every one is asked.
    """

    def __init__(self) -> None:
        self._rotation: int | None = None
        self._matrix = (1, 0, 0, 1)

    def __call__(self, frame: VideoFrame) -> tuple[int, int, int, int]:
        """As :func:`display_matrix`."""
        rotation = int(getattr(frame, "rotation", 0))
        if rotation != self._rotation:
            self._rotation, self._matrix = rotation, display_matrix(frame)
        return self._matrix


def to_pixels(frame: VideoFrame, matrix: tuple[int, int, int, int] | None = None) -> Pixels:
    """A frame as (H, W) gray or (H, W, 3) RGB, turned and mirrored as ``matrix`` or else the file says.

    Gray of more than 8 bits keeps them, at the top of 16. HLG and PQ are brought to sRGB, with diffuse white
    as white; video without a tag is BT.709 from 1280 columns or 577 rows on, else
    BT.601.
    """
    name = frame.format.name
    if deep := _DEEP_GRAY.fullmatch(name):
        pixels: Pixels = _plane(frame, deep[2]) << (16 - int(deep[1]))
    elif name == "rgb555le" and is_smooth(levels := _plane(frame, "le")):
        pixels = levels  # AVI without a code for 16-bit gray is taken for five bits a colour
    elif name == "gray":
        pixels = frame.to_ndarray(format="gray")
    elif (curve := int(getattr(frame, "color_trc", 0) or 0)) in (_PQ, _HLG):
        pixels = _tone_mapped(_rgb(frame, "rgb48le"), curve)
    else:
        pixels = _rgb(frame, "rgb24")
    return upright(pixels, display_matrix(frame) if matrix is None else matrix)


def to_words(frame: VideoFrame, name: str) -> Pixels:
    """The lower half of a frame of YUYV as 16-bit words (H / 2, W), as small cameras send their temperatures.

    Raises:
        InputError: the frame is not stored as YUYV, so that its words are lost.
    """
    if frame.format.name != "yuyv422":
        raise InputError(
            f"{name} holds {frame.format.name} frames, whose temperatures are lost; record YUYV as it is sent"
        )
    words = _plane(frame, "le")
    return words[frame.height // 2 :]


def display_matrix(frame: VideoFrame) -> tuple[int, int, int, int]:
    """How a frame is to be shown: (a, b, c, d) of -1, 0 and 1 take its (x, y) to (a x + c y, b x + d y)."""
    try:
        content: Any = frame.side_data.get("DISPLAYMATRIX")
    except (AttributeError, KeyError, ValueError):
        content = None
    if content is None:
        turns = round(getattr(frame, "rotation", 0) / 90) % 4  # counter-clockwise
        return ((1, 0, 0, 1), (0, -1, 1, 0), (-1, 0, 0, -1), (0, 1, -1, 0))[turns]
    a, b, _, c, d, *_ = np.frombuffer(bytes(content), "<i4")[:9] / 65536
    signs = tuple(int(np.sign(value)) if abs(value) > 0.5 else 0 for value in (a, b, c, d))
    return signs if abs(signs[0] * signs[3] - signs[1] * signs[2]) == 1 else (1, 0, 0, 1)  # type: ignore[return-value]


def upright(pixels: Pixels, matrix: tuple[int, int, int, int]) -> Pixels:
    """Apply what :func:`display_matrix` says to (H, W[, 3])."""
    a, b, c, d = matrix
    if (a, b, c, d) == (1, 0, 0, 1):
        return pixels
    if a == 0:  # x becomes y
        pixels = pixels.swapaxes(0, 1)
        across, down = c, b
    else:
        across, down = a, d
    return np.ascontiguousarray(pixels[::down, ::across])


class Deinterlacer:
    """Frames of two instants each made whole; others pass."""

    def __init__(self) -> None:
        self._graph: Any = None

    def __call__(self, frame: VideoFrame) -> list[VideoFrame]:
        """The frames that are ready once ``frame`` has come; at the end call :meth:`rest`."""
        if self._graph is None:
            if not frame.interlaced_frame:
                return [frame]
            graph = av.filter.Graph()
            source = graph.add_buffer(
                width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base
            )
            whole = graph.add("bwdif", "mode=send_frame:deint=interlaced")
            sink = graph.add("buffersink")
            source.link_to(whole)
            whole.link_to(sink)
            graph.configure()
            self._graph = graph
        self._graph.push(frame)
        return self._pulled()

    def rest(self) -> list[VideoFrame]:
        """The frames that the last one leaves behind."""
        if self._graph is None:
            return []
        self._graph.push(None)
        return self._pulled()

    def _pulled(self) -> list[VideoFrame]:
        frames = []
        while True:
            try:
                frames.append(self._graph.pull())
            except (BlockingIOError, EOFError):
                return frames


def reformatted(frame: VideoFrame, form: str, **colours: Any) -> VideoFrame:
    """A frame in another pixel format, as its own ``reformat`` gives it.

    That one prepares tables and threads anew for each frame, which costs ten times the work itself, and
    leaves threads behind; here each thread keeps one converter.
    """
    converter = getattr(_kept, "converter", None)
    if converter is None:
        converter = _kept.converter = VideoReformatter()
    return converter.reformat(frame, format=form, **colours, **_ONE_THREAD)


def _rgb(frame: VideoFrame, name: str) -> NDArray[Any]:
    space = int(getattr(frame, "colorspace", 2) or 2)
    source: Any = space
    if space in (0, 2, 3):  # RGB, unspecified, reserved
        source = _BT709 if frame.width >= _WIDE or frame.height >= _HIGH else _BT601
    elif space == _BT2020 + 1:
        source = _BT2020
    return reformatted(frame, name, src_colorspace=source).to_ndarray()


def _tone_mapped(rgb: NDArray[np.uint16], curve: int) -> NDArray[np.uint8]:
    """BT.2020 of a high dynamic range (H, W, 3) to sRGB, uint8."""
    linear = _linear(curve)[rgb]
    linear = np.maximum(linear @ _TO_709.T, 0.0)
    bright = linear > _KNEE
    linear[bright] = _KNEE + (1 - _KNEE) * (1 - np.exp(-(linear[bright] - _KNEE) / (1 - _KNEE)))
    shown = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.asarray(shown * 255 + 0.5, np.uint8)


@lru_cache
def _linear(curve: int) -> NDArray[np.float32]:
    """Linear light of 16-bit signals, diffuse white at 1: the inverse of HLG, or PQ (ITU-R BT.2100)."""
    signal = np.arange(65536, dtype=np.float64) / 65535
    if curve == _HLG:
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        light = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12) / _WHITE_HLG
    else:
        power = signal ** (1 / 78.84375)
        light = (np.maximum(power - 0.8359375, 0) / (18.8515625 - 18.6875 * power)) ** (1 / 0.1593017578125)
        light = light / _WHITE_PQ
    return light.astype(np.float32)


def _plane(frame: VideoFrame, order: str) -> Pixels:
    """The 16-bit words of a frame's first plane (H, W), as stored."""
    plane: Any = frame.planes[0]
    rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: frame.height, : 2 * frame.width]
    words = np.ascontiguousarray(rows).view("<u2" if order == "le" else ">u2")
    return words.astype(np.uint16)
