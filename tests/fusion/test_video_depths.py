"""Gray of more than 8 bits from every container that a camera or a grabber writes it into."""

from fractions import Fraction

import numpy as np
import pytest
from scipy.stats import spearmanr

from fsidfusion.thermal.scene import Thermal
from fsidfusion.thermal.stream import ThermalStream
from radiometric_files import warm_scene

av = pytest.importorskip("av")
from fsidfusion.fusion.sources import open_source  # noqa: E402 (needs PyAV)


def counts(frame):
    scene = warm_scene((48, 64)) + np.random.default_rng(frame).normal(0, 0.05, (48, 64))
    return np.rint(1800 + 8 * scene).astype(np.uint16)  # 12 bits, of which a scene fills a part


def write(path, frames, codec, pix_fmt, options=None):
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=Fraction(25), options=options or {})
        stream.height, stream.width = frames[0].shape
        stream.pix_fmt = pix_fmt
        for frame in frames:
            video = av.VideoFrame(frame.shape[1], frame.shape[0], pix_fmt)
            plane = video.planes[0]
            words = frame.astype(">u2" if pix_fmt.endswith("be") else "<u2")
            rows = np.zeros((frame.shape[0], plane.line_size), np.uint8)
            rows[:, : 2 * frame.shape[1]] = words.view(np.uint8).reshape(frame.shape[0], -1)
            plane.update(rows.tobytes())
            for packet in stream.encode(video):
                container.mux(packet)
        for packet in stream.encode(None):
            container.mux(packet)


@pytest.mark.parametrize(
    "name, codec, pix_fmt, bits",
    [
        ("a.mkv", "ffv1", "gray16le", 16),
        ("a.mkv", "ffv1", "gray12le", 12),
        ("a.mkv", "ffv1", "gray10le", 10),
        ("a.mkv", "libx265", "gray12le", 12),
        ("a.mp4", "libx265", "gray10le", 10),
        ("a.mov", "png", "gray16be", 16),
        ("a.avi", "png", "gray16be", 16),
        ("a.avi", "rawvideo", "gray16le", 16),
    ],
)
def test_all_bits_are_kept(tmp_path, name, codec, pix_fmt, bits):
    drop = max(0, 12 - bits)
    frames = [counts(index) >> drop for index in range(3)]
    options = {"x265-params": "lossless=1:log-level=none"} if codec == "libx265" else {}
    try:
        write(tmp_path / name, frames, codec, pix_fmt, options)
    except (ValueError, OSError) as error:
        pytest.skip(f"this FFmpeg writes no {pix_fmt} by {codec} ({error})")
    stream = ThermalStream(Thermal(), name)
    for frame, read in zip(frames, open_source(str(tmp_path / name)).frames, strict=True):
        np.testing.assert_array_equal(read.pixels, frame << (16 - bits))
        shown, _ = stream(read.pixels, read.seconds)
        assert spearmanr(shown.ravel(), frame.ravel()).statistic > 0.99
        assert shown[12:38, 22:30].mean() > 0.8
    assert "plateau" in stream.note
    assert "degrees" not in stream.note
