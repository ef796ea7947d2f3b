"""Sources that are no files: cameras by their number, V4L2 devices, pipes, and frames without a container."""

import re
import stat
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2

from fsidfusion.errors import InputError
from fsidfusion.images.pixels import Pixels

_FORM = re.compile(r"([A-Za-z0-9_ -]+?)(?::(\d+)x(\d+))?(?:@(\d+(?:\.\d+)?))?")
_NAMES = {  # V4L2's codes of pixel formats, by FFmpeg's names
    "y16": "gray16le",
    "y16-be": "gray16be",
    "y12": "gray12le",
    "y10": "gray10le",
    "y8": "gray",
    "grey": "gray",
    "gray16": "gray16le",
    "yuyv": "yuyv422",
    "uyvy": "uyvy422",
    "nv12": "nv12",
    "yu12": "yuv420p",
    "rgb3": "rgb24",
    "bgr3": "bgr24",
}
_CODECS = {"mjpg": "mjpeg", "mjpeg": "mjpeg", "h264": "h264", "hevc": "hevc"}


@dataclass(frozen=True)
class Form:
    """How the frames of a device or of a raw stream are stored."""

    name: str  # a pixel format or codec of FFmpeg
    size: tuple[int, int] | None = None  # (width, height)
    rate: str = ""  # frames a second

    @property
    def is_codec(self) -> bool:
        """Whether the frames are coded, so that a stream of them tells its size itself."""
        return self.name in _CODECS.values()

    def of_device(self) -> dict[str, str]:
        """The options of a V4L2 device."""
        options = {"input_format": self.name}
        if self.size:
            options["video_size"] = "{}x{}".format(*self.size)
        return options | ({"framerate": self.rate} if self.rate else {})

    def of_stream(self, name: str) -> tuple[str, dict[str, str]]:
        """The demuxer and options of a stream without a container. InputError where its size is missing."""
        rate = {"framerate": self.rate} if self.rate else {}
        if self.is_codec:
            return self.name, rate
        if self.size is None:
            raise InputError(
                f"{name} holds frames without a container: say their size too, such as Y16:640x512@30"
            )
        size = "{}x{}".format(*self.size)
        return "rawvideo", {"pixel_format": self.name, "video_size": size, **rate}


def parse_form(text: str) -> Form | None:
    """A form such as ``Y16``, ``Y16:640x512``, ``YUYV:256x384@25`` or ``MJPG``; None for "".

    Raises:
        InputError: it cannot be read, or its format is unknown.
    """
    if not text:
        return None
    match = _FORM.fullmatch(text)
    name = re.sub("[ _]", "-", match[1].strip()).lower() if match else ""
    name = _NAMES.get(name) or _CODECS.get(name) or name.replace("-", "_")
    known = name in _CODECS.values()
    if match and not known:
        try:
            av.VideoFormat(name)
            known = True
        except ValueError:
            pass
    if match is None or not known or "0" in (match[2], match[3]):
        raise InputError(
            f"the form {text!r} is unknown; expected FORMAT, FORMAT:WIDTHxHEIGHT or"
            " FORMAT:WIDTHxHEIGHT@FPS with Y16, GREY, YUYV, UYVY, NV12, RGB3, MJPG, H264 or a name of FFmpeg"
        )
    return Form(name, (int(match[2]), int(match[3])) if match[2] else None, match[4] or "")


def device_of(place: str, form: Form | None, words: bool) -> str:
    """The path of a V4L2 device, where a source is one; "" where it is not.

    A camera by its number is one too where the form of its frames counts, which OpenCV does not keep.
    """
    if place.isdigit():
        return f"/dev/video{int(place)}" if (form or words) and sys.platform == "linux" else ""
    return place if _is_video(place) else ""


def _is_video(place: str) -> bool:
    try:
        path = Path(place).resolve()  # /dev/v4l/by-id holds links
        return path.name.startswith("video") and stat.S_ISCHR(path.stat().st_mode)
    except (OSError, ValueError):
        return False


def is_pipe(place: str) -> bool:
    """Whether a source is opened once and read as it comes."""
    try:
        mode = Path(place).stat().st_mode
    except (OSError, ValueError):
        return place == "-" or place.startswith("pipe:")
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or stat.S_ISCHR(mode)


def open_camera(number: int, opened: Callable[[Callable[[], Any]], Any]) -> tuple[Any, Fraction]:
    """OpenCV's camera of a number and its rate; ``opened`` calls what may wait. InputError without one."""
    camera = opened(lambda: cv2.VideoCapture(number))
    if not camera.isOpened():
        raise InputError(f"camera {number} cannot be opened; check that it is there and not in use")
    rate = camera.get(cv2.CAP_PROP_FPS) or 25.0
    return camera, Fraction(rate).limit_denominator(1001)


def watch_camera(camera: Any, number: int) -> Iterator[tuple[float, Pixels]]:
    """When each frame came (monotonic clock) and its pixels; that a camera stops is an error."""
    try:
        while True:
            there, pixels = camera.read()
            if not there:
                raise InputError(f"camera {number} stopped to send frames; check its cable")
            yield time.monotonic(), cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
    finally:
        camera.release()
