"""What containers, names and addresses say of their frames."""

import gc
import os
import socket
import struct
import threading
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import tifffile

from fsidfusion.alignment.transform import Alignment
from fsidfusion.errors import FusionError, InputError
from fsidfusion.fusion.fuser import Fuser
from fsidfusion.fusion.motion import offset_by_motion
from fsidfusion.fusion.pairing import Pairing, limit_at_rims, limit_of_age, paired
from fsidfusion.fusion.plan import Plan
from fsidfusion.fusion.video import fuse_video, sample_pairs
from fsidfusion.images.files import Picture, write_picture
from fsidfusion.thermal.geometry import Geometry
from fsidfusion.thermal.scene import Thermal
from radiometric_files import camera_record, fff, planck_counts, raw_record, warm_scene

av = pytest.importorskip("av")
from fsidfusion.fusion.decoding import to_pixels  # noqa: E402
from fsidfusion.fusion.sources import Frame, Take, _kept_up, open_source, patiently, shown  # noqa: E402

FUSER = Fuser("maximum", range="none")
TEXTURE = np.random.default_rng(0).integers(0, 90, (48, 64, 3)).astype(np.uint8)


def write(path, frames, rate=25, codec="ffv1", pix_fmt="bgr0", times=None, setup=None, metadata=None, n=1):
    """A video of RGB frames, in ``n`` equal streams."""
    with av.open(str(path), "w") as container:
        container.metadata.update(metadata or {})
        streams = [container.add_stream(codec, rate=Fraction(rate)) for _ in range(n)]
        for stream in streams:
            stream.height, stream.width = frames[0].shape[:2]
            stream.pix_fmt = pix_fmt
            if setup:
                setup(stream)
        for index, pixels in enumerate(frames):
            for number, stream in enumerate(streams):
                shade = np.clip(pixels.astype(int) + 40 * number, 0, 255).astype(np.uint8)
                frame = av.VideoFrame.from_ndarray(shade, "rgb24").reformat(format=pix_fmt)
                if times is not None:
                    frame.time_base, frame.pts = Fraction(1, 1000), round(times[index] * 1000)
                container.mux(stream.encode(frame))
        for stream in streams:
            container.mux(stream.encode(None))
    return str(path)


def square(seconds, height=48, width=96):
    """A dark frame with a bright square that runs: where it is, tells when."""
    frame = np.full((height, width, 3), 20, np.uint8)
    x = round(4 + 30 * seconds)
    frame[16:32, x : x + 8] = 220
    return frame


def place(pixels):
    bright = np.flatnonzero(pixels[16:32].max(-1).mean(0) > 120)
    return None if bright.size == 0 else float(bright[0] + bright[-1]) / 2


def lag(tmp_path, **call):
    """Seconds by which the infrared square runs behind the visible one, over the fused frames."""
    visible_only = Fuser(lambda infrared, visible: visible, range="none")
    infrared_only = Fuser(lambda infrared, visible: infrared, range="none")
    found = []
    for fuser in (infrared_only, visible_only):
        output = tmp_path / "f.mkv"
        summary = fuse_video(output=output, fuser=fuser, plan=Plan(overwrite=True, color="gray"), **call)
        with av.open(str(output)) as container:
            found.append([place(f.to_ndarray(format="rgb24")) for f in container.decode(video=0)])
    alone = summary.alone
    lags = [(theirs - ours) / 30 for ours, theirs in zip(*found) if ours is not None and theirs is not None]
    return np.array(lags), alone, summary


SECONDS = np.arange(50) / 25


@pytest.fixture
def visible(tmp_path):
    return write(tmp_path / "v.mkv", [square(t) for t in SECONDS])


def test_stored_times_that_begin_later_are_kept(tmp_path, visible):
    late = SECONDS[SECONDS >= 0.6]
    infrared = write(tmp_path / "i.mkv", [square(t) for t in late], times=late)
    lags, alone, summary = lag(tmp_path, infrared=infrared, visible=visible)
    assert np.abs(lags).max() <= 0.07
    assert 12 <= alone <= 15
    assert "began 0.60 s later, by their stored times" in summary.note
    assert f"{alone} visible frames had no infrared one" in summary.note


def test_an_offset_that_is_given(tmp_path, visible):
    infrared = write(tmp_path / "i.mkv", [square(t) for t in SECONDS[15:]])
    lags, _, _ = lag(
        tmp_path, infrared=infrared, visible=visible, pairing=Pairing(ir_offset="0.6", max_age=0.03)
    )
    assert np.abs(lags).max() <= 0.03
    with pytest.raises(InputError, match="expected seconds, or auto"):
        Pairing(ir_offset="soon").offset()


def test_gaps_leave_the_visible_frame_alone(tmp_path, visible):
    kept = SECONDS[(SECONDS < 0.6) | (SECONDS >= 1.4)]
    infrared = write(tmp_path / "i.mkv", [square(t) for t in kept], times=kept)
    lags, alone, _ = lag(tmp_path, infrared=infrared, visible=visible)
    assert np.abs(lags).max() <= 0.03
    assert 18 <= alone <= 21


def test_sequences_by_their_numbers_and_stamps_at_their_own_rates(tmp_path):
    for index, t in enumerate(SECONDS):
        write_picture(tmp_path / "v" / f"frame_{index:04d}.png", Picture(square(t)))
        if index % 3 != 2:
            write_picture(tmp_path / "n" / f"ir_{index:04d}.png", Picture(square(t)))
    for index in range(18):  # 9 a second
        write_picture(tmp_path / "s" / f"{index}.png", Picture(square(index / 9)))
        write_picture(
            tmp_path / "stamped" / f"{1_700_000_000 + index / 9:.6f}.png", Picture(square(index / 9))
        )
    for t in SECONDS:
        write_picture(tmp_path / "w" / f"{1_700_000_000 + t:.6f}.png", Picture(square(t)))
    for infrared, visible, pairing in (
        ("n", "v", Pairing()),
        ("s", "v", Pairing(ir_fps=9)),
        ("stamped", "w", Pairing()),
    ):
        lags, _, _ = lag(
            tmp_path, infrared=str(tmp_path / infrared), visible=str(tmp_path / visible), pairing=pairing
        )
        assert len(lags) > 40
        assert np.abs(lags).max() <= (0.07 if infrared == "n" else 0.09)
    (tmp_path / "t.csv").write_text("\n".join(f"{t + 0.4:.3f}" for t in SECONDS))
    (tmp_path / "u.csv").write_text("\n".join(f"{t:.3f}" for t in SECONDS))
    pairing = Pairing(ir_times=tmp_path / "t.csv", vis_times=tmp_path / "u.csv")
    call = {"infrared": str(tmp_path / "v"), "visible": str(tmp_path / "v"), "pairing": pairing}
    lags, _, _ = lag(tmp_path, **call)
    assert np.median(lags) == pytest.approx(0.4, abs=0.03)  # as the lists have it


def test_the_offset_is_found_by_motion():
    """Two cameras see the same thing move at the same moments, one brighter than the other."""
    random = np.random.default_rng(3)
    speed = np.repeat(random.integers(0, 5, 60), 8)
    where = np.cumsum(speed) % 90

    def frames(first, gain):
        for index in range(first, 440):
            pixels = np.full((40, 100), 30, np.uint8)
            pixels[10:30, where[index] : where[index] + 10] = gain
            yield Frame((index - first) / 25, pixels)

    assert offset_by_motion(frames(55, 220), frames(0, 120)) == pytest.approx(2.2, abs=0.09)
    assert offset_by_motion(frames(0, 220), frames(30, 120)) == pytest.approx(-1.2, abs=0.09)
    still = [Frame(index / 25, np.full((40, 100), 30, np.uint8)) for index in range(200)]
    with pytest.raises(InputError, match="give `ir_offset` in seconds"):
        offset_by_motion(iter(still), frames(0, 120))


def test_one_thing_that_moves_evenly_tells_the_offset_by_where_it_is():
    """How much moves is always the same, and its noise would tell anything."""

    def frames(begin, end, rate, shift=0):
        for index in range(round(begin * rate), round(end * rate)):
            pixels = np.full((60, 200), 30, np.uint8)
            left = 10 + round(55 * index / rate) + shift
            pixels[20:40, left : left + 14] = 220
            yield Frame(index / rate - begin, pixels)

    assert offset_by_motion(frames(1, 3, 9), frames(0, 3, 25)) == pytest.approx(1.0, abs=0.02)
    assert offset_by_motion(frames(0, 3, 25), frames(0, 3, 25)) == pytest.approx(0.0, abs=0.02)
    with pytest.raises(InputError, match="or an alignment of both cameras"):
        offset_by_motion(frames(0, 3, 9), frames(0, 3, 25), is_placed=False)
    # a camera that stands beside: where things move says something else, unless it is known how both lie
    beside = np.array([[1.0, 0, 22], [0, 1, 0], [0, 0, 1]])
    known = Alignment(beside, (60, 200), (60, 200), "translation", "points")
    found = offset_by_motion(frames(0, 3, 25, 22), frames(0, 3, 25), known)
    assert found == pytest.approx(0.0, abs=0.03)


def test_infrared_frames_in_the_place_of_missing_ones_are_counted(tmp_path):
    for index, t in enumerate(SECONDS[:24]):
        write_picture(tmp_path / "v" / f"{index:04d}.png", Picture(square(t)))
        if index % 3 != 2:
            write_picture(tmp_path / "i" / f"{index:04d}.png", Picture(square(t)))
    lags, _, summary = lag(tmp_path, infrared=str(tmp_path / "i"), visible=str(tmp_path / "v"))
    assert "visible frames: 7 have an infrared one up to 0.04 s away" in summary.note
    assert np.abs(lags).max() <= 0.07


def test_what_is_near_enough():
    ours = [Frame(0.0, "a"), Frame(0.1, "b"), Frame(0.9, "c")]
    theirs = [Frame(t / 10, t) for t in range(12)]
    found = [None if i is None else i.pixels for _, i in paired(iter(ours), iter(theirs), 0.1)]
    assert found == ["a", "b", "b", *[None] * 5, "c", "c", "c"]
    assert limit_of_age(9, False, None) == pytest.approx(1 / 9)
    assert limit_of_age(100, True, None) == 0.25
    assert limit_of_age(9, True, 0.5) == 0.5
    assert limit_at_rims(25, False, None) == pytest.approx(0.022)
    assert limit_at_rims(25, True, None) == 0.25
    assert limit_at_rims(25, False, 0.5) == 0.5


def test_beside_a_gap_half_a_frame_is_the_most():
    taken = [
        k / 25 for k in range(30) if k not in (5, 12, 13, 14, 15, 16)
    ]  # one frame, and five, are missing
    ours = [Frame(seconds, seconds) for seconds in taken]
    theirs = [Frame(k / 50, k) for k in range(64)]
    pairs = list(paired(iter(ours), iter(theirs), 0.06, rim=0.022))
    away = [abs(v.seconds - i.seconds) for v, i in pairs if i is not None]
    assert max(away) == pytest.approx(0.04)  # where the one is missing, and nowhere else
    alone = [v.pixels for v, i in pairs if i is None]
    assert alone == list(range(24, 33)), alone
    assert pairs[-1][0].pixels == 59  # half a frame after the last


@pytest.mark.parametrize(
    "matrix, expected",
    [
        ((0, 1, -1, 0), lambda a: np.rot90(a, -1)),
        ((-1, 0, 0, -1), lambda a: np.rot90(a, 2)),
        ((0, -1, 1, 0), lambda a: np.rot90(a, 1)),
        ((-1, 0, 0, 1), lambda a: a[:, ::-1]),
        ((1, 0, 0, -1), lambda a: a[::-1]),
    ],
)
def test_turned_and_mirrored_files_are_shown_upright(tmp_path, matrix, expected):
    path = tmp_path / "a.mp4"
    ramp = np.zeros((48, 64, 3), np.uint8)
    ramp[:24, :32], ramp[:24, 32:], ramp[24:, :32] = 200, 120, 60
    write(path, [ramp] * 3, codec="libx264", pix_fmt="yuv420p")
    content = bytearray(path.read_bytes())
    at = content.index(b"tkhd") + 4
    at += 4 + (32 if content[at] else 20) + 16
    a, b, c, d = (value << 16 for value in matrix)
    struct.pack_into(">9i", content, at, a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(content)
    frame = next(iter(open_source(str(path)).frames)).pixels
    assert np.abs(frame.astype(int) - expected(ramp)).mean() < 4


PATCHES = np.array([(200, 40, 40), (40, 180, 60), (40, 60, 200), (220, 200, 60), (180, 180, 180)])


def coded(rgb, matrix, bits=8):
    """(1, N, 3) 0..1 as limited-range Y, Cb, Cr frames of 4:4:4."""
    kr, kb = {1: (0.2126, 0.0722), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}[matrix]
    r, g, b = np.moveaxis(rgb, -1, 0)
    y = kr * r + (1 - kr - kb) * g + kb * b
    planes = (y, (b - y) / (2 * (1 - kb)), (r - y) / (2 * (1 - kr)))
    scale = 1 << (bits - 8)
    levels = [16 * scale + 219 * scale * planes[0], *(128 * scale + 224 * scale * p for p in planes[1:])]
    return np.rint(np.stack(levels)).astype(np.uint16 if bits > 8 else np.uint8)


@pytest.mark.parametrize("kind", ["601", "709", "untagged small", "untagged HD", "HLG", "PQ"])
def test_colours_of_all_kinds_of_video(kind):
    """Known sRGB colours, coded by the formulas of the standards."""
    rgb = np.repeat(PATCHES[None] / 255, 8, axis=1)
    height, bits, matrix, curve = 16, 8, 6, 2
    if kind in ("709", "untagged HD"):
        matrix, height = 1, 578 if "HD" in kind else 16
    if kind in ("HLG", "PQ"):
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        wide = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])
        light = linear @ wide.T
        matrix, bits, curve = 9, 10, {"HLG": 18, "PQ": 16}[kind]
        if kind == "HLG":
            x = light * 0.265
            curved = 0.17883277 * np.log(np.maximum(12 * x - 0.28466892, 1e-6)) + 0.55991073
            rgb = np.where(x <= 1 / 12, np.sqrt(3 * np.maximum(x, 0)), curved)
        else:
            power = (light * 203 / 10_000).clip(0) ** 0.1593017578125
            rgb = ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375
    planes = np.repeat(coded(rgb, matrix, bits), height, axis=1)
    frame = av.VideoFrame(planes.shape[2], height, "yuv444p10le" if bits == 10 else "yuv444p")
    for plane, values in zip(frame.planes, planes):
        rows = np.zeros((height, plane.line_size), np.uint8)
        rows[:, : values.shape[1] * values.itemsize] = np.ascontiguousarray(values).view(np.uint8)
        plane.update(rows.tobytes())
    if "untagged" not in kind:
        frame.colorspace, frame.color_trc, frame.color_range = matrix, curve, 1
    found = to_pixels(frame)[height // 2, 4::8].astype(int)
    assert np.abs(found - PATCHES).max() <= 6


def test_interlaced_frames_are_made_whole(tmp_path):
    moving = []
    for index in range(6):
        frame = np.full((64, 96, 3), 40, np.uint8)
        frame[:, 10 + 8 * index : 30 + 8 * index] = 200
        frame[1::2] = np.roll(frame[1::2], 6, axis=1)  # the second field is a moment later
        moving.append(frame)

    def interlaced(stream):
        stream.options = {"flags": "+ildct+ilme", "x264opts": "tff=1", "crf": "4"}

    path = write(tmp_path / "a.mp4", moving, codec="libx264", pix_fmt="yuv420p", setup=interlaced)
    read = [frame.pixels.astype(int) for frame in open_source(path).frames]
    assert len(read) == 6
    combed = np.abs(np.diff(moving[3].astype(int), axis=0)).mean()
    assert np.abs(np.diff(read[3], axis=0)).mean() < combed / 3


def test_streams_shape_of_pixels_and_notes_of_the_file(tmp_path):
    path = write(
        tmp_path / "two.mkv", [TEXTURE] * 3, n=2, metadata={"creation_time": "2025-05-30T12:30:37.5Z"}
    )
    first, second = (next(iter(open_source(path, Take(stream=n)).frames)).pixels for n in (0, 1))
    assert second.mean() > first.mean() + 30
    with pytest.raises(InputError, match="say by `ir_stream`"):
        fuse_video(path, path, tmp_path / "f.mp4", fuser=FUSER)
    with pytest.raises(InputError, match="holds 2 video streams"):
        open_source(path, Take(stream=2))
    fuse_video(path, path, tmp_path / "f.mp4", fuser=FUSER, pairing=Pairing(ir_stream=1))
    with av.open(str(tmp_path / "f.mp4")) as container:
        assert container.metadata["creation_time"].startswith("2025-05-30T12:30:37")

    def wide(stream):
        stream.codec_context.sample_aspect_ratio = Fraction(16, 15)

    shape = write(tmp_path / "sar.mp4", [TEXTURE] * 3, codec="libx264", pix_fmt="yuv420p", setup=wide)
    assert open_source(shape).aspect == Fraction(16, 15)
    fuse_video(path, shape, tmp_path / "g.mp4", fuser=FUSER, pairing=Pairing(ir_stream=1))
    assert open_source(str(tmp_path / "g.mp4")).aspect == Fraction(16, 15)


def test_decoded_frames_go_without_the_garbage_collector(visible):
    """A live view decodes for days: what each frame holds must go with it, at once."""

    def frames_alive():
        return sum(isinstance(each, av.VideoFrame) for each in gc.get_objects())

    gc.collect()
    gc.disable()
    try:
        before = frames_alive()
        number = sum(1 for _ in open_source(visible).frames)
        assert number >= 10
        assert frames_alive() - before <= 2  # the first is asked how it is turned
    finally:
        gc.enable()


def test_a_name_that_exists_is_no_pattern(tmp_path):
    odd = write(tmp_path / "i[1]?.mkv", [TEXTURE] * 2)
    assert len(list(open_source(odd).frames)) == 2
    folder = tmp_path / "f[x]*"
    write_picture(folder / "a.png", Picture(TEXTURE))
    assert len(list(open_source(str(folder)).frames)) == 1
    with pytest.raises(InputError, match="cannot be read"):
        open_source("http://127.0.0.1:9/a?b=[1]*", Take(timeout=2))


def test_passwords_are_never_shown():
    assert shown("rtsp://u:geheim@cam:554/a") == "rtsp://***@cam:554/a"
    assert shown("http://cam/a?password=abc&x=1&token=t") == "http://cam/a?password=***&x=1&token=***"
    with pytest.raises(InputError) as error:
        open_source("http://u:geheim@127.0.0.1:9/a?key=abc", Take(timeout=2))
    assert "geheim" not in str(error.value)
    assert "abc" not in str(error.value)


def test_silent_sources_end(tmp_path, visible):
    with socket.create_server(("127.0.0.1", 0)) as server:

        def hang():
            connection, _ = server.accept()
            connection.recv(4096)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\n\r\n")
            kept.append(connection)

        kept = []
        threading.Thread(target=hang, daemon=True).start()
        address = f"http://u:geheim@127.0.0.1:{server.getsockname()[1]}/x"
        with pytest.raises(InputError, match=r"\*\*\*@127.* sent nothing for 0.3 s"):
            fuse_video(address, visible, tmp_path / "f.mkv", fuser=FUSER, pairing=Pairing(timeout=0.3))
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="sent nothing"):
        open_source(str(tmp_path / "pipe"), Take(timeout=0.2))
    with pytest.raises(InputError, match="a thing sent nothing"):
        patiently(lambda: time.sleep(1), 0.05, "a thing")


def test_a_recording_of_flir_is_an_infrared_video(tmp_path, visible):
    scene = warm_scene((48, 96))
    blocks = [
        fff([(1, raw_record(planck_counts(scene + t))), (0x20, camera_record())])
        for t in np.linspace(0, 2, 18)
    ]
    (tmp_path / "a.seq").write_bytes(b"".join(blocks))
    source = open_source(str(tmp_path / "a.seq"))
    assert (source.rate, source.count) == (9, 18)
    frames = list(source.frames)
    np.testing.assert_allclose(frames[0].pixels, scene, atol=0.02)
    assert frames[-1].seconds == pytest.approx(17 / 9)
    thermal = Thermal(highlight="30C", agc="window:10..45C")
    summary = fuse_video(
        str(tmp_path / "a.seq"), visible, tmp_path / "f.mkv", fuser=FUSER, plan=Plan(thermal=thermal)
    )
    assert summary.frames > 45
    with av.open(str(tmp_path / "f.mkv")) as container:
        frame = next(container.decode(video=0)).to_ndarray(format="rgb24").astype(int)
    assert frame[20:30, 24:28, 0].mean() > frame[20:30, 24:28, 2].mean() + 60  # the person is marked
    (tmp_path / "b.seq").write_bytes(blocks[0] + blocks[1][:200])
    with pytest.raises(FusionError, match="damaged after 1 frames"):
        list(open_source(str(tmp_path / "b.seq")).frames)


def test_frames_of_two_halves_hold_temperatures(tmp_path):
    """As small cameras send them: the picture, and below it kelvin x 64 in the bytes of YUYV."""
    scene = warm_scene((24, 32))
    words = np.rint((scene + 273.15) * 64).astype("<u2")
    content = np.full((48, 32, 2), 128, np.uint8)
    content[24:] = words.view(np.uint8).reshape(24, 32, 2)
    path = tmp_path / "p2.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("rawvideo", rate=25)
        stream.width, stream.height, stream.pix_fmt = 32, 48, "yuyv422"
        for _ in range(3):
            frame = av.VideoFrame(32, 48, "yuyv422")
            frame.planes[0].update(content.tobytes())
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    seen = write(tmp_path / "v.mkv", [TEXTURE[:24, :32]] * 3)
    thermal = Thermal(ir_crop="p2pro", highlight="35C")
    summary = fuse_video(str(path), seen, tmp_path / "f.mkv", fuser=FUSER, plan=Plan(thermal=thermal))
    assert summary.frames == 3
    with av.open(str(tmp_path / "f.mkv")) as container:
        shown_frame = next(container.decode(video=0)).to_ndarray(format="rgb24").astype(int)
    hot = shown_frame[..., 0] - shown_frame[..., 2] > 60
    assert hot[14:22, 22:30].all()
    assert not hot[:8].any()
    other = write(tmp_path / "h264.mp4", [TEXTURE] * 3, codec="libx264", pix_fmt="yuv420p")
    with pytest.raises(InputError, match="record YUYV"):
        fuse_video(other, seen, tmp_path / "g.mkv", fuser=FUSER, plan=Plan(thermal=thermal))


def test_geometry_of_infrared_pictures():
    levels = np.arange(24).reshape(4, 6)
    np.testing.assert_array_equal(Geometry("3x2+1+2")(levels), levels[2:4, 1:4])
    np.testing.assert_array_equal(Geometry("bottom")(levels), levels[2:])
    np.testing.assert_array_equal(Geometry("right", 90)(levels), np.rot90(levels[:, 3:], -1))
    np.testing.assert_array_equal(Geometry(None, 180, "horizontal")(levels), levels[::-1])
    assert Geometry("right", 90).size(4, 6) == (3, 4)
    assert Geometry()(levels) is levels
    for crop, words in (("7x2+0+0", "outside"), ("2x2", "unknown"), ("0x2+0+0", "outside")):
        with pytest.raises(InputError, match=words):
            Geometry(crop)(levels)


def test_frames_side_by_side_and_pairs_for_an_alignment(tmp_path):
    both = [np.concatenate((square(t), TEXTURE[:, :, :].repeat(2, 1)[:, :96]), axis=1) for t in SECONDS[:30]]
    path = write(tmp_path / "both.mkv", both)
    plan = Plan(thermal=Thermal(ir_crop="left"), color="gray")
    summary = fuse_video(
        path, path, tmp_path / "f.mkv", fuser=FUSER, plan=plan, pairing=Pairing(vis_crop="right")
    )
    assert (summary.frames, summary.height, summary.width) == (30, 48, 96)
    pairs = sample_pairs(path, path, 5, thermal=Thermal(ir_crop="left"), pairing=Pairing(vis_crop="right"))
    assert len(pairs) == 5
    assert pairs[0][0].shape == (48, 96)
    assert (
        place(np.repeat(pairs[4][0][..., None], 3, 2)) > place(np.repeat(pairs[0][0][..., None], 3, 2)) + 15
    )


def test_frames_alone_go_with_heat_and_an_alignment(tmp_path, visible):
    """The infrared camera began later; its frames are smaller, and lie in the middle of the others."""
    late = SECONDS[SECONDS >= 0.8]
    small = [square(t)[::2, ::2] for t in late]
    infrared = write(tmp_path / "i.mkv", small, times=late)
    matrix = np.array([[0.5, 0, 0], [0, 0.5, 0], [0, 0, 1]])
    align = Alignment(matrix, (48, 96), (24, 48), "affine", "points")
    summary = fuse_video(
        infrared, visible, tmp_path / "f.mkv", fuser=FUSER, plan=Plan(color="heat", align=align)
    )
    assert summary.frames == 50
    assert 17 <= summary.alone <= 20


def test_frames_that_show_nothing_move_no_range(tmp_path):
    """The shutter is closed at first: from then on all is as if it had not been."""
    random = np.random.default_rng(2)
    scene = [np.rint(7000 + 60 * warm_scene((48, 64)) + random.normal(0, 3, (48, 64))) for _ in range(10)]
    seen = [TEXTURE // 3 + 10] * 10
    visible = write(tmp_path / "v.mkv", seen)
    fused = []
    for name in ("clean", "closed"):
        for index, counts in enumerate(scene):
            frame = np.full((48, 64), 8000) if name == "closed" and index < 3 else counts
            folder = tmp_path / name
            folder.mkdir(exist_ok=True)
            tifffile.imwrite(folder / f"{index}.tif", frame.astype(np.uint16))
        fuse_video(str(tmp_path / name), visible, tmp_path / f"{name}.mkv", fuser=Fuser("maximum"))
        with av.open(str(tmp_path / f"{name}.mkv")) as container:
            fused.append([f.to_ndarray(format="rgb24").astype(int) for f in container.decode(video=0)])
    for clean, after in zip(fused[0][3:], fused[1][3:]):
        assert np.abs(clean - after).mean() < 5


def test_the_end_of_a_download_is_an_end_and_what_is_spoilt_is_passed_over(tmp_path):
    """An answer without a length ends with its connection; in its middle a packet was lost on the way."""
    path = write(tmp_path / "a.ts", [TEXTURE] * 20, codec="libx264", pix_fmt="yuv420p")
    content = bytearray(Path(path).read_bytes())
    content[len(content) // 2 : len(content) // 2 + 400] = bytes(400)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            connection, _ = server.accept()
            connection.recv(4096)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\n\r\n" + content)
            connection.close()

        threading.Thread(target=serve, daemon=True).start()
        address = f"http://127.0.0.1:{server.getsockname()[1]}/x"
        frames = list(open_source(address, Take(timeout=20.0)).frames)
    seconds = [frame.seconds for frame in frames]
    assert 15 <= len(frames) <= 20
    assert seconds == sorted(seconds)
    assert seconds[-1] == pytest.approx(19 / 25, abs=1e-3)  # the last frame is there


def test_an_address_that_was_lost_is_waited_for(tmp_path):
    path = write(tmp_path / "a.ts", [TEXTURE] * 20, codec="mpeg2video", pix_fmt="yuv420p")
    content = Path(path).read_bytes()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            for _ in range(2):
                connection, _ = server.accept()
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\n\r\n" + content)
                connection.close()

        threading.Thread(target=serve, daemon=True).start()
        address = f"http://u:geheim@127.0.0.1:{server.getsockname()[1]}/x"
        source = open_source(address, Take(timeout=2.0, reconnect=5.0))
        frames = []
        for frame in source.frames:
            frames.append(frame)
            if len(frames) == 30:
                break
        source.frames.close()
    assert len(source.losses) == 1
    assert "***@127.0.0.1" in source.losses[0]
    assert "was lost after" in source.losses[0]
    assert frames[20].seconds > 0
    assert frames[25].seconds - frames[20].seconds == pytest.approx(0.2, abs=1e-3)
    with pytest.raises(InputError, match=r"did not come back within 0.2 s"):
        gone = open_source(str(tmp_path / "a.ts"))
        list(_kept_up(gone.frames, "http://127.0.0.1:9/x", "it", Take(timeout=0.2, reconnect=0.2), []))
