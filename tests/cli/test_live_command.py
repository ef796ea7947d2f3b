"""The live command: outputs that are asked for, a real process that is stopped, and one whose reader goes."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from fsidfusion.cli import main

av = pytest.importorskip("av")

SOURCE = Path(__file__).resolve().parents[2] / "src"
SIZE = (48, 64)


@pytest.fixture
def sources(tmp_path):
    """The words that name two small files."""
    for name, shape, form in (("ir", SIZE, "gray"), ("vis", (*SIZE, 3), "rgb24")):
        with av.open(str(tmp_path / f"{name}.mkv"), "w") as container:
            stream = container.add_stream("ffv1", rate=Fraction(25))
            stream.width, stream.height = SIZE[1], SIZE[0]
            stream.pix_fmt = "gray" if form == "gray" else "bgr0"
            for number in range(10):
                pixels = np.full(shape, 40 + 15 * number, np.uint8)
                pixels[:, 4 * number : 4 * number + 4] = 255
                container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, form)))
            container.mux(stream.encode(None))
    return ["--ir", f"{tmp_path}/ir.mkv", "--vis", f"{tmp_path}/vis.mkv", "--model", "maximum"]


def count(path):
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


@contextmanager
def started(*words, **options):
    command = [sys.executable, "-m", "fsidfusion", "live", *words]
    variables = {**os.environ, "PYTHONPATH": str(SOURCE), "PYTHONUNBUFFERED": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen(command, env=variables, **pipes, **options)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def frames_of(address):
    with urllib.request.urlopen(f"{address}/v1/live/picture.jpg?after=0", timeout=30):
        pass  # the first picture has come, or some seconds have gone by
    with urllib.request.urlopen(f"{address}/v1/live", timeout=30) as answer:
        return json.load(answer)["frames"]


def test_one_line_records_and_tells_how_late_it_was(sources, tmp_path, capsys):
    assert main(["live", *sources, "-o", f"{tmp_path}/fused.mp4"]) == 0
    said = capsys.readouterr()
    assert "64x48, " in said.out and "ms (median)" in said.out and "dropped: " in said.out
    frames = count(tmp_path / "fused.mp4")
    assert 0 < frames <= 10
    assert main(["live", *sources, "-o", f"{tmp_path}/fused.mp4"]) == 2
    assert "exists" in capsys.readouterr().err
    assert main(["live", *sources, "-o", f"{tmp_path}/b.mp4", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["output"] == f"{tmp_path}/b.mp4"
    assert told["frames"] + told["dropped"]["visible"] == told["received"]["visible"] == 10
    assert 0 < told["latency_ms"]["median"] <= told["latency_ms"]["p95"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "nothing would be seen: give --output FILE, --output -, or --serve PORT"),
        (["-o", "-", "--json"], "--json and --output - both want standard output"),
        (["--serve", "70000"], "--serve 70000: expected a port of 0 to 65535"),
        (["-o", "fused.gif"], "output fused.gif is no known video"),
        (["-o", "absent/fused.mp4"], "there is no folder absent"),
        (["-o", "f.mp4", "--speed", "0"], "--speed 0: expected more than 0"),
        (["-o", "f.mp4", "--ir-format", "Y17"], "the form 'Y17' is unknown"),
    ],
)
def test_what_cannot_be_is_one_line(sources, words, told, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["live", *sources, *words]) == 2
    said = capsys.readouterr()
    (line,) = said.err.splitlines()
    assert line.startswith("fsidfusion live: ") and told in line
    assert not said.out or "--json" in words
    assert not (tmp_path / "f.mp4").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_process_leaves_a_whole_file(stop, sources, tmp_path):
    output = tmp_path / "fused.mp4"
    with started(*sources, "--loop", "-o", str(output), "--serve", "0", text=True) as process:
        address = process.stdout.readline().split()[2]
        while frames_of(address) < 3:
            assert process.poll() is None
        process.send_signal(stop)
        said, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + stop, errors
    assert said.endswith(", stopped\n")
    assert count(output) > 0
    assert not list(tmp_path.glob(".fsidfusion-*"))


def test_standard_output_ends_quietly_with_its_reader(sources, tmp_path):
    with started(*sources, "--loop", "-o", "-", "--pipe", "rgb") as process:
        frame = process.stdout.read(3 * SIZE[0] * SIZE[1])
        process.stdout.close()
        errors = process.stderr.read()
        assert process.wait(60) == 141
    assert len(frame) == 3 * SIZE[0] * SIZE[1]
    assert errors == b""


def test_standard_output_holds_the_stream_alone(sources, tmp_path):
    with started(*sources, "-o", "-") as process:
        content, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert b"ms (median)" in errors
    (tmp_path / "stream.ts").write_bytes(content)
    assert count(tmp_path / "stream.ts") > 0
