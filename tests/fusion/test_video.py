"""Videos in, a whole video out: pairing, sound, no flicker, early ends and errors."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from fsidfusion.errors import FusionError, InputError
from fsidfusion.fusion.flow import SmoothRange
from fsidfusion.fusion.fuser import Fuser
from fsidfusion.fusion.pairing import paired
from fsidfusion.fusion.plan import Plan
from fsidfusion.fusion.video import fuse_video
from fsidfusion.images.files import Picture, write_picture
from fsidfusion.images.output_range import Range
from fsidfusion.studies.scenes import render_scene

av = pytest.importorskip("av")
from fsidfusion.fusion import sources as sources_module  # noqa: E402
from fsidfusion.fusion import video_files  # noqa: E402
from fsidfusion.fusion.sources import Frame, Take, open_source  # noqa: E402
from fsidfusion.fusion.video_files import VideoWriter  # noqa: E402

SIZE = (48, 64)


@pytest.fixture(scope="module")
def fuser():
    return Fuser("maximum")


def write_video(path, frames, rate=10, sound_seconds=0.0, codec="ffv1"):
    """A lossless video of (H, W[, 3]) uint8 frames, with a tone if ``sound_seconds``."""
    with av.open(str(path), "w") as container:
        gray = frames[0].ndim == 2
        stream = container.add_stream(codec, rate=Fraction(rate))
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "gray" if gray else "bgr0"
        if sound_seconds:
            tone = container.add_stream("pcm_s16le", rate=8000, layout="mono")
            for start in range(0, int(8000 * sound_seconds), 800):
                wave = (8000 * np.sin(np.arange(start, start + 800) / 9)).astype(np.int16)[None]
                frame = av.AudioFrame.from_ndarray(wave, "s16", "mono")
                frame.sample_rate, frame.pts = 8000, start
                container.mux(tone.encode(frame))
            container.mux(tone.encode(None))
        for pixels in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "gray" if gray else "rgb24")))
        container.mux(stream.encode(None))
    return str(path)


def levels(number, size=SIZE, channels=()):
    """Flat frames, each brighter than the one before."""
    return [np.full((*size, *channels), 40 + 10 * i, np.uint8) for i in range(number)]


def read(path):
    with av.open(str(path)) as container:
        frames = [(frame.time, frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
    return [time for time, _ in frames], [pixels for _, pixels in frames]


def test_a_video_of_both(tmp_path, fuser):
    infrared = write_video(tmp_path / "ir.mkv", levels(5))
    visible = write_video(tmp_path / "vis.mkv", levels(5, channels=(3,)))
    calls = []
    output = tmp_path / "fused.mp4"
    summary = fuse_video(infrared, visible, output, progress=lambda *call: calls.append(call), fuser=fuser)
    times, frames = read(output)
    assert (summary.frames, summary.height, summary.width, summary.stopped) == (5, *SIZE, False)
    assert calls[-1] == (5, 5)
    np.testing.assert_allclose(times, [0, 0.1, 0.2, 0.3, 0.4], atol=1e-3)
    assert frames[0].shape == (*SIZE, 3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fused.mp4", "ir.mkv", "vis.mkv"]


@pytest.mark.parametrize("suffix", [".mkv", ".mov", ".webm"])
def test_containers_and_odd_sizes(suffix, tmp_path, fuser):
    infrared = write_video(tmp_path / "a.mkv", levels(3, (47, 63)))
    visible = write_video(tmp_path / "b.mkv", levels(3, (47, 63)))
    fuse_video(infrared, visible, tmp_path / f"fused{suffix}", plan=Plan(color="gray"), fuser=fuser)
    _, frames = read(tmp_path / f"fused{suffix}")
    assert [frame.shape for frame in frames] == [(48, 64, 3)] * 3  # players want even sides


def test_hot_pixels_glow_in_a_video(tmp_path):
    infrared, visible = np.zeros(SIZE, np.uint8), np.full((*SIZE, 3), 100, np.uint8)
    infrared[:, 28:36] = 255
    sources = [
        write_video(tmp_path / f"{name}.mkv", [frame] * 2)
        for name, frame in (("ir", infrared), ("vis", visible))
    ]
    for color in ("visible", "heat"):
        rule = Fuser(lambda infrared, visible: visible, range="none")
        fuse_video(*sources, tmp_path / f"{color}.mkv", plan=Plan(color=color), fuser=rule)
        frame = read(tmp_path / f"{color}.mkv")[1][1].astype(int)
        warmth = frame[..., 0] - frame[..., 2]
        assert abs(warmth[:, :24]).max() < 8
        assert (warmth[:, 31:33].min() > 60) == (color == "heat")


def test_colours_survive(tmp_path):
    visible = np.zeros((*SIZE, 3), np.uint8)
    visible[:, :32], visible[:, 32:] = (200, 60, 60), (60, 60, 200)
    infrared = write_video(tmp_path / "a.mkv", [np.zeros(SIZE, np.uint8)] * 2)
    colour = write_video(tmp_path / "b.mkv", [visible] * 2)
    fuse_video(infrared, colour, tmp_path / "fused.mkv", fuser=Fuser("maximum", range="none"))
    with av.open(str(tmp_path / "fused.mkv")) as container:
        frame = next(container.decode(video=0))
        shown = frame.reformat(format="rgb24", src_colorspace="ITU709").to_ndarray()
    for column in (8, 56):
        assert np.abs(shown[24, column].astype(int) - visible[24, column]).max() <= 6


def test_frames_are_paired_by_time():
    slow = [Frame(i / 10, np.uint8(i)) for i in range(4)]  # 0 .. 0.3 s
    fast = [Frame(i / 30, np.uint8(i)) for i in range(30)]  # 0 .. 1 s
    found = [(visible.pixels, infrared.pixels) for visible, infrared in paired(iter(slow), iter(fast), 0.15)]
    assert found[:5] == [(0, 0), (1, 0), (2, 1), (3, 1), (4, 1)]
    assert found[-1][0] == 13  # 0.433 s: the last infrared frame serves for 0.15 s
    found = [(visible.pixels, infrared.pixels) for visible, infrared in paired(iter(fast), iter(slow), 0.05)]
    assert found == [(0, 0), (1, 3), (2, 6), (3, 9)]
    assert not list(paired(iter([]), iter(slow), 1.0))


def test_sequences_of_pictures(tmp_path, fuser):
    for i, frame in enumerate(levels(12)):
        write_picture(tmp_path / "ir" / f"{i}.png", Picture(frame))  # 10 comes after 9
        write_picture(tmp_path / "vis" / f"frame_{i}.png", Picture(frame))
    pixels = [int(frame.pixels[0, 0]) for frame in open_source(str(tmp_path / "ir"), Take(20)).frames]
    assert pixels == [40 + 10 * i for i in range(12)]
    pattern = str(tmp_path / "vis" / "*.png")
    summary = fuse_video(str(tmp_path / "ir"), pattern, tmp_path / "fused.mkv", rate=20, fuser=fuser)
    assert summary.frames == 12
    np.testing.assert_allclose(read(tmp_path / "fused.mkv")[0], np.arange(12) / 20, atol=2e-3)


@pytest.mark.parametrize("suffix, kept", [(".mkv", True), (".webm", False)])
def test_sound_is_kept_where_it_fits(suffix, kept, tmp_path, fuser):
    infrared = write_video(tmp_path / "a.mkv", levels(8))
    visible = write_video(tmp_path / "b.mkv", levels(8, channels=(3,)), sound_seconds=2.0)
    summary = fuse_video(infrared, visible, tmp_path / f"fused{suffix}", fuser=fuser)
    assert ("was left out" in summary.note) != kept
    with av.open(str(tmp_path / f"fused{suffix}")) as container:
        assert bool(container.streams.audio) == kept
        if kept:
            packets = [p for p in container.demux(audio=0) if p.dts is not None]
            end = max(float(p.dts * p.time_base) for p in packets)
            assert 0.7 <= end <= 0.85  # to the end of the pictures, not of the sound
    assert len(read(tmp_path / f"fused{suffix}")[0]) == 8


def test_a_static_scene_does_not_flicker():
    """Noise, and a slow fade of the visible light: the result changes as the sources do, times its gain."""
    scene = render_scene(5, (96, 128), time_of_day="day")
    random = np.random.default_rng(0)
    fuser, smooth = Fuser("maximum"), SmoothRange()
    means, gains = [], []
    for i in range(24):
        infrared, visible = (
            np.clip(pixels * light + random.normal(0, 3, pixels.shape), 0, 255).astype(np.uint8)
            for pixels, light in ((scene.infrared, 1.0), (scene.visible, 1 - i / 400))
        )
        fused = fuser.fuse_luma([infrared], [visible])[0]
        range_ = smooth(fused, i / 25)
        gains.append(1 / (range_.high - range_.low))
        steady = 255 * gains[-1] * (fused - range_.low)
        alone = fuser.fuse(infrared, visible, color="gray")
        means.append([image.mean() for image in (steady, alone, infrared, visible)])
    steady, alone, *sources = np.abs(np.diff(means, axis=0)).max(0)
    assert steady <= max(gains) * max(sources)
    assert steady < alone / 4  # each frame by itself flickers with the noise of its percentiles


def test_the_range_jumps_at_a_cut_and_else_follows():
    ranges = iter([Range(0.0, 0.5), Range(0.2, 0.9), Range(0.2, 0.9), Range(0.1, 1.0)])
    smooth = SmoothRange(lambda fused: next(ranges), smoothing=1.0)
    dark, bright = np.full((48, 64), 0.2, np.float32), np.full((48, 64), 0.8, np.float32)
    assert smooth(dark, 0.0) == Range(0.0, 0.5)
    second = smooth(dark, 0.1)
    assert 0 < second.low < 0.03
    assert second.high < smooth(dark, 5.0).high < 0.9
    assert smooth(bright, 5.1) == Range(0.1, 1.0)


def test_stopped_early_the_file_is_whole(tmp_path, fuser):
    infrared = write_video(tmp_path / "a.mkv", levels(20))
    visible = write_video(tmp_path / "b.mkv", levels(20))

    def stop(done, total):
        if done == 7:
            raise KeyboardInterrupt

    summary = fuse_video(infrared, visible, tmp_path / "fused.mp4", progress=stop, fuser=fuser)
    assert (summary.frames, summary.stopped) == (7, True)
    assert len(read(tmp_path / "fused.mp4")[0]) == 7
    assert len(list(tmp_path.iterdir())) == 3


def test_cameras_are_watched_until_they_stop(monkeypatch):
    class Camera:
        left = 2

        def __init__(self, number):
            self.number = number

        def isOpened(self):
            return self.number == 1

        def get(self, what):
            return 30.0

        def read(self):
            Camera.left -= 1
            blue = np.zeros((4, 6, 3), np.uint8)
            blue[..., 0] = 255  # OpenCV gives BGR
            return Camera.left >= 0, blue

        def release(self):
            Camera.left = None

    monkeypatch.setattr("cv2.VideoCapture", Camera)
    with pytest.raises(FusionError, match="camera 0 cannot be opened"):
        open_source("0")
    source = open_source("1")
    assert (source.rate, source.count, source.file) == (30, None, None)
    seen = []
    with pytest.raises(FusionError, match="camera 1 stopped"):
        for frame in source.frames:
            seen.append(frame)
    assert [frame.pixels[0, 0].tolist() for frame in seen] == [[0, 0, 255]] * 2
    assert seen[0].seconds <= seen[1].seconds
    assert Camera.left is None


def test_a_cut_video_keeps_what_could_be_read(tmp_path, fuser):
    good = Path(write_video(tmp_path / "a.mkv", [f for f in levels(12) for _ in range(4)]))
    (tmp_path / "cut.mkv").write_bytes(good.read_bytes()[: good.stat().st_size * 2 // 3])
    summary = fuse_video(str(tmp_path / "cut.mkv"), str(good), tmp_path / "fused.mkv", fuser=fuser)
    assert 0 < summary.frames < 48
    assert len(read(tmp_path / "fused.mkv")[0]) == summary.frames


def test_what_a_broken_source_gave_is_kept(tmp_path, fuser, monkeypatch):
    def camera():
        yield from (Frame(i / 10, frame) for i, frame in enumerate(levels(3)))
        raise InputError("camera 0 stopped to send frames")

    visible = write_video(tmp_path / "b.mkv", levels(20))
    known = open_source(visible)
    sources = iter((sources_module.Source("camera 0", camera(), Fraction(10)), known))
    monkeypatch.setattr(sources_module, "open_source", lambda *place: next(sources))
    with pytest.raises(FusionError, match=r"camera 0 stopped .*; [23] frames were kept"):
        fuse_video("0", visible, tmp_path / "fused.mkv", fuser=fuser)
    assert len(read(tmp_path / "fused.mkv")[0]) in (2, 3)


@pytest.mark.parametrize("resize", [False, True])
def test_other_sizes_are_refused_or_resampled(resize, tmp_path, fuser):
    infrared = write_video(tmp_path / "a.mkv", levels(2, (24, 32)))
    visible = write_video(tmp_path / "b.mkv", levels(2))
    if resize:
        assert (
            fuse_video(infrared, visible, tmp_path / "fused.mp4", plan=Plan(resize=True), fuser=fuser).frames
            == 2
        )
        return
    with pytest.raises(FusionError, match=r"sizes differ: .*32x24 pixels, .*64x48"):
        fuse_video(infrared, visible, tmp_path / "fused.mp4", fuser=fuser)
    assert len(list(tmp_path.iterdir())) == 2


def test_wrong_sources_and_outputs_are_one_line(tmp_path, fuser):
    good = write_video(tmp_path / "a.mkv", levels(2))
    (tmp_path / "text.mp4").write_text("no video")
    (tmp_path / "empty").mkdir()
    with av.open(str(tmp_path / "sound.wav"), "w") as container:
        tone = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
        silence.sample_rate = 8000
        container.mux(tone.encode(silence))
    for source, words in (
        ("absent.mp4", "does not exist"),
        (str(tmp_path / "text.mp4"), "cannot be read"),
        (str(tmp_path / "sound.wav"), "no video stream"),
        (str(tmp_path / "empty"), "no pictures"),
    ):
        with pytest.raises(FusionError, match=words):
            fuse_video(source, good, tmp_path / "fused.mp4", fuser=fuser)
    for output, words in (("fused.avi", "no known video"), ("a.mkv", "exists"), ("x/y.mp4", "no folder")):
        with pytest.raises(FusionError, match=words):
            fuse_video(good, good, tmp_path / output, fuser=fuser)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_disk_that_is_full_when_the_file_is_closed_is_told(tmp_path, monkeypatch, suffix):
    def full(self, content):
        raise OSError(28, "No space left on device")

    frame = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    writer = VideoWriter(tmp_path / f"v{suffix}", (48, 64), Fraction(25))
    writer.write(frame, 0.0)
    monkeypatch.setattr(video_files._Raw, "write", full)
    with pytest.raises(OSError, match="No space left"):
        writer.close()
    assert not list(tmp_path.iterdir())
