"""Devices, and streams without a container: their frames keep what was measured."""

import os
import threading

import numpy as np
import pytest

from fsidfusion.errors import InputError

av = pytest.importorskip("av")
from fsidfusion.fusion import devices, sources  # noqa: E402
from fsidfusion.fusion.devices import Form, parse_form  # noqa: E402
from fsidfusion.fusion.fuser import Fuser  # noqa: E402
from fsidfusion.fusion.pairing import Pairing  # noqa: E402
from fsidfusion.fusion.sources import Take, open_source  # noqa: E402
from fsidfusion.fusion.video import fuse_video  # noqa: E402

SIZE = (24, 32)
CENTIKELVIN = [
    (30_000 + 4 * number + np.arange(SIZE[0] * SIZE[1]).reshape(SIZE)).astype("<u2") for number in range(3)
]


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("Y16", Form("gray16le")),
        ("Y16:640x512@30", Form("gray16le", (640, 512), "30")),
        ("Y16 BE", Form("gray16be")),
        ("yuyv:256x384@8.7", Form("yuyv422", (256, 384), "8.7")),
        ("MJPG@25", Form("mjpeg", None, "25")),
        ("gray12le:4x4", Form("gray12le", (4, 4))),
    ],
)
def test_forms_by_the_names_of_v4l2_and_of_ffmpeg(text, form):
    assert parse_form(text) == form


@pytest.mark.parametrize(
    "text", ["Y17", "Y16:640", "Y16:0x4", "Y16:640x512@", ":640x512", "Y16:640x512@fast"]
)
def test_other_forms_are_one_line(text):
    with pytest.raises(InputError, match=r"the form .* is unknown; expected FORMAT"):
        parse_form(text)
    assert parse_form("") is None


def test_words_of_a_pipe_are_the_frames(tmp_path):
    pipe = tmp_path / "y16"
    os.mkfifo(pipe)
    content = b"".join(words.tobytes() for words in CENTIKELVIN)
    threading.Thread(target=pipe.write_bytes, args=(content,), daemon=True).start()
    source = open_source(str(pipe), Take(form=parse_form("Y16:32x24@10")))
    frames = list(source.frames)
    assert source.is_live
    assert [frame.seconds for frame in frames] == pytest.approx([0, 0.1, 0.2])
    for frame, words in zip(frames, CENTIKELVIN, strict=True):
        assert frame.came > 0
        np.testing.assert_array_equal(frame.pixels, words)


def test_a_raw_file_of_words_goes_through_the_thermal_door(tmp_path):
    raw, visible = tmp_path / "ir.raw", tmp_path / "vis.raw"
    raw.write_bytes(b"".join(words.tobytes() for words in CENTIKELVIN))
    visible.write_bytes(bytes([90]) * SIZE[0] * SIZE[1] * 3 * 3)
    pairing = Pairing(ir_format="Y16:32x24@10", vis_format="RGB3:32x24@10")
    places = str(raw), str(visible)
    summary = fuse_video(*places, tmp_path / "fused.mkv", fuser=Fuser("maximum"), pairing=pairing)
    assert summary.frames == 3
    assert "raw counts went through plateau" in summary.note
    with pytest.raises(InputError, match=r"ir.raw holds frames without a container: say their size too"):
        fuse_video(*places, tmp_path / "b.mkv", fuser=Fuser("maximum"), pairing=Pairing(ir_format="Y16"))


@pytest.mark.parametrize("place", ["/dev/video7", "7"])
def test_a_device_is_read_by_v4l2_as_it_was_asked(place, monkeypatch):
    """The device itself is a stand-in: what would be opened, and how."""
    asked = []

    def open_(path, **options):
        asked.append((path, options["format"], options["options"]))
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(sources.av, "open", open_)
    monkeypatch.setattr(devices.sys, "platform", "linux")
    monkeypatch.setattr(devices, "_is_video", lambda place: place == "/dev/video7")
    for text, options in (
        ("Y16:640x512@30", {"input_format": "gray16le", "video_size": "640x512", "framerate": "30"}),
        ("MJPG", {"input_format": "mjpeg"}),
    ):
        with pytest.raises(InputError, match="/dev/video7 does not exist"):
            open_source(place, Take(form=parse_form(text)))
        assert asked.pop() == ("/dev/video7", "v4l2", options)
    with pytest.raises(InputError, match="/dev/video7 does not exist"):
        open_source(place, Take(words=True))
    assert asked.pop() == ("/dev/video7", "v4l2", {"input_format": "yuyv422"})
