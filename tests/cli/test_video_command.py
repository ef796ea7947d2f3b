"""The video command with real files, and a real process that is stopped."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fsidfusion.cli import main
from fsidfusion.images.files import Picture, write_picture

av = pytest.importorskip("av")

SOURCE = Path(__file__).resolve().parents[2] / "src"


@pytest.fixture
def frames(tmp_path):
    for i in range(6):
        for name, shape in (("ir", (48, 64)), ("vis", (48, 64, 3))):
            write_picture(tmp_path / name / f"{i}.png", Picture(np.full(shape, 40 + 20 * i, np.uint8)))
    return tmp_path


def count(path):
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def test_one_line_fuses_sequences(frames, capsys):
    line = ["video", "--ir", f"{frames}/ir", "--vis", f"{frames}/vis/*.png", "--model", "maximum"]
    assert main([*line, "--fps", "12", "-o", f"{frames}/fused.mp4"]) == 0
    assert "64x48, 6 frames" in capsys.readouterr().out
    assert count(frames / "fused.mp4") == 6
    assert main([*line, "-o", f"{frames}/fused.mp4"]) == 2
    assert "exists" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="signals and pipes of POSIX")
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_process_leaves_a_whole_file(stop, tmp_path):
    """The source is a pipe that stays open: the run cannot end by itself."""
    write_picture(tmp_path / "still.png", Picture(np.full((48, 64), 90, np.uint8)))
    pipe = tmp_path / "endless.y4m"
    os.mkfifo(pipe)
    infrared = tmp_path / "ir.mkv"
    with av.open(str(infrared), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "gray"
        for _ in range(400):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64), 90, np.uint8), "gray")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    command = [sys.executable, "-c", "import sys; from fsidfusion.cli import main; sys.exit(main())", "video"]
    command += ["--ir", str(infrared), "--vis", str(pipe), "-o", str(tmp_path / "fused.mp4")]
    process = subprocess.Popen(
        [*command, "--model", "maximum"],
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with pipe.open("wb", buffering=0) as source:
        source.write(b"YUV4MPEG2 W64 H48 F25:1 Ip A1:1 Cmono\n")
        try:
            while not list(tmp_path.glob(".fsidfusion-*.part")):  # until the first frame was fused
                source.write(b"FRAME\n" + bytes(48 * 64))
        finally:
            process.send_signal(stop)
            for _ in range(400):  # a decoder that waits for the pipe sees the end of it
                try:
                    source.write(b"FRAME\n" + bytes(48 * 64))
                except BrokenPipeError:
                    break
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + stop, errors
    assert "stopped early" in output
    assert count(tmp_path / "fused.mp4") > 0
    assert not list(tmp_path.glob(".fsidfusion-*"))
