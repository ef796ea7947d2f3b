"""Two sources as they come: the newest frames, what is dropped and lost, and outputs that never wait.

Cameras are servers of this process that stall and come back when the run tells that it has seen enough; a
test ends a run as a user does, by an interrupt.
"""

import io
import os
import socket
import threading
import weakref
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from fsidfusion.errors import FusionError, InputError
from fsidfusion.fusion.fuser import Fuser
from fsidfusion.fusion.pairing import Pairing
from fsidfusion.fusion.plan import Plan
from fsidfusion.studies.scenes import render_scene
from fsidfusion.thermal.geometry import Geometry
from fsidfusion.thermal.measure import Measuring
from fsidfusion.thermal.scene import Thermal

av = pytest.importorskip("av")
from fsidfusion.fusion.feed import Feed, Playing  # noqa: E402
from fsidfusion.fusion.live import fuse_live  # noqa: E402
from fsidfusion.fusion.live_counts import Delays  # noqa: E402
from fsidfusion.fusion.live_outputs import Recording, StandardOutput  # noqa: E402
from fsidfusion.fusion.opening import Opener  # noqa: E402
from fsidfusion.fusion.sources import Frame, Source, Take  # noqa: E402
from streams import Camera, RtspCamera  # noqa: E402

SIZE = (96, 128)
PATIENT = Pairing(reconnect=60.0, timeout=30.0)
SCENE = render_scene(5, (96, 128))


@pytest.fixture(scope="module")
def fuser():
    return Fuser("maximum")


class Kept:
    """An output that keeps what it gets."""

    left_out = 0

    def __init__(self):
        self.size, self.pictures, self.closed = None, [], 0

    def begin(self, size, visible):
        self.size = size

    def put(self, pixels, seconds):
        self.pictures.append((seconds, pixels))

    def close(self):
        self.closed += 1
        return ""


def write_video(path, frames, rate=25):
    with av.open(str(path), "w") as container:
        gray = frames[0].ndim == 2
        stream = container.add_stream("ffv1", rate=Fraction(rate))
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "gray" if gray else "bgr0"
        for pixels in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "gray" if gray else "rgb24")))
        container.mux(stream.encode(None))
    return str(path)


@pytest.fixture
def files(tmp_path):
    infrared = [np.roll(SCENE.infrared, 2 * i, axis=1) for i in range(12)]
    visible = [np.roll(SCENE.visible, 2 * i, axis=1) for i in range(12)]
    return write_video(tmp_path / "ir.mkv", infrared), write_video(tmp_path / "vis.mkv", visible)


def infrared_picture(number):
    return np.roll(SCENE.infrared, number, axis=1)


def visible_picture(number):
    return np.roll(SCENE.visible, number, axis=1)


def decoded(path):
    with av.open(str(path)) as container:
        return [(frame.time, frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]


def test_files_at_their_own_pace_to_several_outputs(files, tmp_path, fuser):
    kept, recording = Kept(), Recording(tmp_path / "fused.mp4", 18)
    states = []
    table = Measuring(table=tmp_path / "t.csv")
    with pytest.raises(InputError, match="holds no temperatures"):
        fuse_live(*files, [kept], fuser=fuser, plan=Plan(measuring=table))
    assert kept.closed == 1
    kept = Kept()
    summary = fuse_live(*files, [kept, recording], fuser=fuser, told=states.append)
    assert (summary.height, summary.width) == kept.size == SIZE
    infrared, visible = summary.sides
    assert (infrared.frames, visible.frames) == (12, 12)
    assert summary.frames + visible.dropped == 12  # none is lost without being counted
    assert summary.frames == len(kept.pictures) == states[-1].frames > 0
    assert 0 < summary.latency <= summary.latency_p95
    assert not summary.stopped and kept.closed == 1
    seconds = [at for at, _ in kept.pictures]
    assert seconds == sorted(seconds)
    assert set(np.round(np.array(seconds) * 25).astype(int)) <= set(range(12))  # the times of the frames
    frames = decoded(tmp_path / "fused.mp4")
    assert len(frames) == recording.kept == summary.frames - recording.left_out
    assert {path.name for path in tmp_path.iterdir()} == {"ir.mkv", "vis.mkv", "fused.mp4"}
    assert f"{summary.frames} frames" in summary.line()
    assert summary.record()["dropped"] == {"infrared": infrared.dropped, "visible": visible.dropped}


def test_frames_of_the_same_time_go_together(tmp_path):
    """Each picture holds the numbers of both frames: one in each half of its gray levels."""
    numbers = range(10)
    places = [
        write_video(tmp_path / f"{name}.mkv", [np.full(SIZE, 20 * (1 + i), np.uint8) for i in numbers], 10)
        for name in ("ir", "vis")
    ]
    pairs = []

    def note(infrared, visible):
        pairs.append((float(infrared.mean()), float(visible.mean())))
        return visible

    kept = Kept()
    fuse_live(*places, [kept], fuser=Fuser(note, range="none"), plan=Plan(thermal=Thermal(agc="off")))
    told = [pair for pair in pairs if pair[1] > 0]  # the first, dark pair prepares the model
    assert len(told) >= len(kept.pictures) - 1
    apart = [abs(round(255 * (ours - seen) / 20)) for ours, seen in told if ours > 0]
    assert np.median(apart) == 0


def test_wide_frames_are_scaled_down_where_that_is_asked(files, fuser):
    for width, size in ((64, (48, 64)), (500, SIZE)):
        kept = Kept()
        plan = Plan(resize=True)
        fuse_live(*files, [kept], fuser=fuser, plan=plan, playing=Playing(speed=4), max_width=width)
        assert kept.size == size and all(picture.shape == (*size, 3) for _, picture in kept.pictures)
    with pytest.raises(InputError, match="expected 16 pixels or more"):
        fuse_live(*files, [Kept()], fuser=fuser, max_width=0)


def test_a_file_that_ends_and_one_that_is_played_again(files, fuser):
    summary = fuse_live(*files, [Kept()], fuser=fuser, playing=Playing(speed=4))
    assert summary.sides[1].state == "ended"

    def enough(status):
        if min(side.frames for side in status.sides) > 30:
            raise KeyboardInterrupt

    summary = fuse_live(*files, [Kept()], fuser=fuser, playing=Playing(speed=4, loop=True), told=enough)
    assert summary.stopped and summary.sides[0].frames > 30
    summary = fuse_live(*files, [Kept()], fuser=fuser, playing=Playing(loop=True, duration=0.5))
    assert not summary.stopped and summary.frames > 0
    for wrong in ({"speed": 0.0}, {"duration": -1.0}):
        with pytest.raises(InputError, match="expected more than 0"):
            Playing(**wrong)


def test_a_camera_that_stalls_and_one_that_breaks_off_come_back(tmp_path, fuser):
    """Infrared stalls, then breaks off, then the visible one does: each comes back, and all of it is told."""
    with Camera(infrared_picture) as infrared, Camera(visible_picture) as visible:
        lines, stage = [], [0]

        def told(status):
            ours, seen = status.sides
            at = stage[0]
            if at == 0 and status.frames >= 3:
                infrared.stall()
            elif at == 1 and status.alone >= 2 and ours.state == "silent":
                infrared.go_on()
            elif at == 2 and ours.state == "live":
                infrared.lose()
            elif at == 3 and ours.state == "lost":
                infrared.go_on()
            elif at == 4 and ours.state == "live" and ours.reconnects == 1:
                visible.lose()
            elif at == 5 and seen.state == "lost":
                visible.go_on()
                done[0] = status.frames
            elif at == 6 and seen.state == "live" and status.frames > done[0] + 2:
                raise KeyboardInterrupt
            else:
                return
            stage[0] += 1

        done = [0]
        kept, recording = Kept(), Recording(tmp_path / "fused.mkv", 18)
        summary = fuse_live(
            infrared.address,
            visible.address,
            [kept, recording],
            fuser=fuser,
            pairing=PATIENT,
            say=lines.append,
            told=told,
        )
    assert stage[0] == 6 and summary.stopped
    assert [side.reconnects for side in summary.sides] == [1, 1]
    assert (infrared.connections, visible.connections) == (2, 2)
    assert 2 <= summary.alone < summary.frames
    said = "\n".join(lines)
    assert "sends nothing: the visible picture stands alone" in said
    assert "infrared is lost" in said and "visible is lost" in said and "the picture stands still" in said
    assert said.count("is back after") == 3
    assert len(decoded(tmp_path / "fused.mkv")) == recording.kept > 0
    assert [shape for _, picture in kept.pictures if (shape := picture.shape) != (*SIZE, 3)] == []


def test_rtsp_over_tcp_comes_back_too(fuser):
    with RtspCamera(visible_picture) as visible, Camera(infrared_picture) as infrared:

        def told(status):
            seen = status.sides[1]
            if status.frames >= 3 and not lost:
                lost.append(status.frames)
                visible.lose()
            elif lost and seen.reconnects == 1 and status.frames >= lost[0] + 3:
                raise KeyboardInterrupt

        lost = []
        kept = Kept()
        places = infrared.address, visible.address
        summary = fuse_live(*places, [kept], fuser=fuser, pairing=PATIENT, told=told)
    assert summary.sides[1].reconnects == 1
    assert kept.size == SIZE
    setups = [line for line in visible.asked if line.startswith("SETUP")]
    assert len(setups) == 2 and all("RTP/AVP/TCP" in line for line in setups)


def test_a_camera_that_does_not_come_back_ends_the_run_with_what_was_fused(files, tmp_path, fuser):
    with Camera(visible_picture) as visible:

        def told(status):
            if status.frames == 3:
                visible.lose()

        pairing = Pairing(reconnect=0.3, timeout=30.0)
        with pytest.raises(FusionError, match=r"did not come back within 0.3 s .*; \d+ frames were kept in"):
            fuse_live(
                files[0],
                visible.address,
                [Recording(tmp_path / "fused.mkv", 18)],
                fuser=fuser,
                pairing=pairing,
                playing=Playing(loop=True),
                told=told,
            )
    assert len(decoded(tmp_path / "fused.mkv")) >= 2


def silent_address(server, kept):
    def hang():
        connection, _ = server.accept()
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\n\r\n")
        kept.append(connection)

    threading.Thread(target=hang, daemon=True).start()
    return f"http://u:geheim@127.0.0.1:{server.getsockname()[1]}/x"


def test_a_source_that_never_comes_is_one_line(files, tmp_path, fuser):
    pairing = Pairing(timeout=0.4)
    outputs = [Recording(tmp_path / "fused.mkv", 18)]
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = silent_address(server, [])
        with pytest.raises(InputError, match=r"\*\*\*@127.* (sent nothing for|did not come within) 0.4 s"):
            fuse_live(address, files[1], outputs, fuser=fuser, pairing=pairing)
    lines = []
    with pytest.raises(InputError, match=r"http://127.0.0.1:9/x .*; it did not come within 0.4 s"):
        fuse_live(files[0], "http://127.0.0.1:9/x", outputs, fuser=fuser, pairing=pairing, say=lines.append)
    assert len(lines) == 1 and lines[0].startswith("visible: ") and lines[0].endswith("; waiting")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="sent nothing"):
        fuse_live(str(tmp_path / "pipe"), files[1], outputs, fuser=fuser, pairing=pairing)
    with pytest.raises(InputError, match=r"absent.mp4 does not exist"):
        fuse_live(str(tmp_path / "absent.mp4"), files[1], outputs, fuser=fuser)
    with pytest.raises(InputError, match="exists, and is a source"):
        fuse_live(*files, [Recording(Path(files[1]), 18)], fuser=fuser, plan=Plan(overwrite=True))
    (tmp_path / "fused.mkv").write_bytes(b"there")
    with pytest.raises(InputError, match="exists; give another name"):
        fuse_live(*files, outputs, fuser=fuser)
    assert (tmp_path / "fused.mkv").read_bytes() == b"there"


def feed_of(frames, place="rtsp://camera/x"):
    """A feed of a live source that sends frames as fast as it can, and its condition."""

    class Given(Opener):
        def __call__(self):
            return Source("camera", iter(frames), Fraction(25), is_live=True)

    changed = threading.Condition()
    return Feed("infrared", "camera", Given(place, Take(), Geometry()), Playing(), changed), changed


def until(changed, is_so):
    with changed:
        assert changed.wait_for(is_so, 30)


def test_one_frame_waits_and_never_more():
    made, most = [], []

    def frames():
        for number in range(500):
            pixels = np.full(SIZE, number % 256, np.uint8)
            made.append(weakref.ref(pixels))
            most.append(sum(each() is not None for each in made))
            yield Frame(number / 25, pixels, 1.0 + number)

    feed, changed = feed_of(frames(), place="/no/address")
    until(changed, lambda: feed.is_over)
    assert max(most) <= 3  # the one that waits, the one that comes, the one that is made
    assert feed.frames == 500 and feed.dropped == 499
    assert int(feed.newest(1e9).pixels[0, 0]) == 499 % 256


def test_frames_are_held_back_for_the_other_side():
    go_on = threading.Event()

    def frames():
        yield Frame(0.0, np.zeros(SIZE, np.uint8), 90.0)
        go_on.wait(30)
        for number in range(3):
            yield Frame(0.0, np.full(SIZE, number, np.uint8), 100.0 + number)

    feed, changed = feed_of(frames(), place="/no/address")
    until(changed, lambda: feed.is_there)
    feed.begin(99.0, delay=1.5)
    go_on.set()
    until(changed, lambda: feed.is_over)
    assert feed.newest(101.4) is None and feed.due(101.4) == pytest.approx(0.1)
    assert feed.newest(101.6).seconds == pytest.approx(2.5)  # of the start, as if it had come later
    assert feed.newest(200.0).seconds == pytest.approx(4.5)
    assert (feed.frames, feed.dropped) == (3, 2)


def test_an_offset_of_live_sources_is_bounded(files, fuser):
    with Camera(infrared_picture) as camera:
        with pytest.raises(InputError, match="held back by 2 s at most"):
            pairing = replace(PATIENT, ir_offset="-3")
            fuse_live(camera.address, files[1], [Kept()], fuser=fuser, pairing=pairing)
        with pytest.raises(InputError, match="offset of live sources cannot be estimated"):
            fuse_live(camera.address, files[1], [Kept()], fuser=fuser, pairing=Pairing(ir_offset="auto"))


def test_words_of_sixteen_bits_through_a_pipe(files, tmp_path, fuser):
    """Y16 as a camera sends it: counts of centikelvin, read as temperatures, written in a table."""
    pipe, table = tmp_path / "y16", tmp_path / "t.csv"
    os.mkfifo(pipe)
    ended = threading.Event()

    def write():
        words = (29_000 + 20.0 * SCENE.infrared).astype("<u2")
        with pipe.open("wb", buffering=0) as stream:
            while not ended.wait(0.02):
                try:
                    stream.write(words.tobytes())
                except BrokenPipeError:
                    return

    threading.Thread(target=write, daemon=True).start()

    def enough(status):
        if status.frames >= 5:
            raise KeyboardInterrupt

    kept = Kept()
    plan = Plan(thermal=Thermal(unit="centikelvin"), measuring=Measuring(table=table), color="heat")
    pairing = replace(PATIENT, ir_format="Y16:128x96@25")
    playing = Playing(loop=True)
    try:
        summary = fuse_live(
            str(pipe), files[1], [kept], fuser=fuser, plan=plan, pairing=pairing, playing=playing, told=enough
        )
    finally:
        ended.set()
    assert summary.frames == 5 and summary.stopped
    head, *rows = table.read_text().splitlines()
    assert head.startswith("seconds,coldest_C,hottest_C") and len(rows) == 5
    hottest = {row.split(",")[2] for row in rows} - {""}
    assert hottest == {f"{(29_000 + 20 * float(SCENE.infrared.max())) / 100 - 273.15:.2f}"}


def test_an_output_that_is_too_slow_loses_pictures_and_holds_nothing_up(files, tmp_path, fuser, monkeypatch):
    from fsidfusion.fusion.video_files import VideoWriter

    may_write = threading.Event()
    write = VideoWriter.write

    def slow(self, pixels, seconds):
        may_write.wait(30)
        write(self, pixels, seconds)

    monkeypatch.setattr(VideoWriter, "write", slow)

    def told(status):
        if status.frames == 30:
            may_write.set()
            raise KeyboardInterrupt

    recording = Recording(tmp_path / "fused.mkv", 18)
    summary = fuse_live(*files, [recording], fuser=fuser, playing=Playing(loop=True), told=told)
    assert summary.frames == 30
    assert recording.left_out == 30 - recording.kept and 8 <= recording.kept <= 10
    assert "were left out of" in summary.note
    assert len(decoded(tmp_path / "fused.mkv")) == recording.kept


def test_an_alignment_is_estimated_while_the_visible_picture_stands_alone(tmp_path):
    scene = render_scene(3, (96, 132), time_of_day="day", smoke=False)
    infrared = write_video(tmp_path / "ir.mkv", [scene.infrared[:, 4:].copy()] * 60)
    visible = write_video(tmp_path / "vis.mkv", [scene.visible[:, :128].copy()] * 60)

    def enough(status):
        if "aligned" in status.note and status.frames > known.setdefault("at", status.frames) + 2:
            raise KeyboardInterrupt

    known = {}
    kept = Kept()
    summary = fuse_live(
        infrared,
        visible,
        [kept],
        fuser=Fuser("maximum", range="none"),
        plan=Plan(align="auto"),
        playing=Playing(loop=True),
        told=enough,
    )
    assert "aligned: " in summary.note
    assert "pictures show the visible one alone, until it was aligned" in summary.note


@pytest.mark.parametrize("kind", ["ts", "mkv", "y4m", "rgb"])
def test_standard_output_is_what_another_program_reads(kind, files, fuser):
    stream = io.BytesIO()
    output = StandardOutput(kind, 18, stream)
    summary = fuse_live(*files, [output], fuser=fuser)
    content = stream.getvalue()
    written = summary.frames - output.left_out
    if kind == "rgb":
        assert len(content) == written * SIZE[0] * SIZE[1] * 3
        return
    with av.open(io.BytesIO(content)) as container:
        frames = list(container.decode(video=0))
    assert len(frames) == written > 0
    assert (frames[0].height, frames[0].width) == SIZE


def test_a_reader_that_goes_away_ends_its_output_alone(files, tmp_path, fuser):
    class Closed(io.RawIOBase):
        def writable(self):
            return True

        def write(self, content):
            raise BrokenPipeError(32, "Broken pipe")

    for kind in ("ts", "rgb"):
        with pytest.raises(BrokenPipeError):
            fuse_live(*files, [StandardOutput(kind, 18, Closed())], fuser=fuser)
        path = tmp_path / f"{kind}.mkv"
        summary = fuse_live(*files, [StandardOutput(kind, 18, Closed()), Recording(path, 18)], fuser=fuser)
        assert len(decoded(path)) == summary.frames > 0


def test_delays_take_no_more_memory_the_more_there_are():
    delays = Delays()
    assert delays.at(0.5) == 0.0
    for milliseconds in range(1, 101):
        delays.add(milliseconds / 1000)
    assert delays.at(0.5) == pytest.approx(0.05) and delays.at(0.95) == pytest.approx(0.095)
    delays.add(1e6)
    assert delays.at(1.0) == pytest.approx(20.0)


@pytest.mark.slow
def test_real_cameras_one_of_which_stalls(data_root, tmp_path):
    folder = data_root / "video" / "0111_1716"
    if not folder.is_dir():
        pytest.skip("no real videos are here: set FSIDFUSION_DATA")
    shots = {name: [pixels for _, pixels in decoded(folder / f"{name}.mp4")[:40]] for name in ("ir", "vi")}
    with (
        Camera(lambda number: shots["ir"][number % 40], 15) as infrared,
        Camera(lambda number: shots["vi"][number % 40], 15) as visible,
    ):
        stage = [0]

        def told(status):
            if stage[0] == 0 and status.frames >= 4:
                infrared.stall()
            elif stage[0] == 1 and status.alone >= 2:
                infrared.go_on()
                alone.append(status.alone)
            elif stage[0] == 2 and status.sides[0].state == "live" and status.frames > alone[0] + 8:
                raise KeyboardInterrupt
            else:
                return
            stage[0] += 1

        alone = []
        summary = fuse_live(
            infrared.address,
            visible.address,
            [recording := Recording(tmp_path / "fused.mp4", 18)],
            fuser=Fuser(),
            pairing=PATIENT,
            told=told,
        )
    assert (summary.width, summary.height) == (640, 480)
    assert summary.alone >= 2 and summary.frames > summary.alone
    assert len(decoded(tmp_path / "fused.mp4")) == recording.kept


def test_two_frames_of_one_moment_follow_each_other():
    frames = [Frame(0.0, np.full(SIZE, number, np.uint8), 100.0) for number in range(2)]
    feed, changed = feed_of(frames, place="/no/address")
    until(changed, lambda: feed.is_over)
    assert 100.0 < feed.newest(200.0).came < 100.01
