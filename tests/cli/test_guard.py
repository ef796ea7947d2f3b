"""Commands end with one line and the right status, whatever happens and whatever their streams are."""

import json
import os
import subprocess
import sys

import pytest

from fsidfusion.cli import main

POSIX = pytest.mark.skipif(os.name != "posix", reason="streams of POSIX")


def fsidfusion(*words, **streams):
    command = [sys.executable, "-m", "fsidfusion", *words]
    return subprocess.run(command, check=False, **{"stdout": -1, "stderr": -1, **streams})


def shell(line):
    command = f"exec {sys.executable} -m fsidfusion {line}"
    return subprocess.run(["sh", "-c", command], capture_output=True, check=False)


@pytest.fixture
def broken(monkeypatch):
    def fail(json: bool = False) -> int:
        raise KeyError("some\x1b[31mkey")

    monkeypatch.setattr("fsidfusion.cli.weights.models", fail)


def test_an_unexpected_exception_is_one_line_and_status_2(broken, capsys):
    assert main(["models"]) == 2
    captured = capsys.readouterr()
    (line,) = captured.err.splitlines()
    assert line.startswith("fsidfusion models: unexpected KeyError") and "--debug" in line
    assert "\x1b" not in line
    assert captured.out == ""
    assert main(["models", "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["status"] == 2


def test_debug_lets_it_through(broken):
    with pytest.raises(KeyError):
        main(["models", "--debug"])


@POSIX
def test_a_reader_that_goes_away_is_no_error_to_tell(tmp_path):
    reader, writer = os.pipe()
    os.close(reader)
    result = fsidfusion("models", stdout=writer)
    os.close(writer)
    assert (result.returncode, result.stderr) == (141, b"")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")  # noqa: PTH110
def test_a_full_device_is_told():
    with open("/dev/full", "wb") as full:  # noqa: PTH123
        result = fsidfusion("models", "--json", stdout=full)
        assert result.returncode == 2
        assert b"standard output cannot be written" in result.stderr
        assert len(result.stderr.splitlines()) == 1
        result = fsidfusion("fuse", "--ir", "absent.png", "-o", "x.png", stderr=full)
        assert (result.returncode, result.stdout) == (2, b"")


@POSIX
def test_closed_streams_do_no_harm(tmp_path):
    result = shell("models --json 2>&-")
    assert result.returncode == 0
    assert "fsidfusion-light" in json.loads(result.stdout)
    result = shell("fuse --ir absent.png --vis absent.png -o x.png 2>&-")
    assert (result.returncode, result.stdout) == (2, b"")
    assert shell("models >&- 2>&-").returncode == 0


@POSIX
def test_what_is_echoed_moves_no_terminal(tmp_path):
    name = "\x1b]0;owned\x07\x1b[2J.png"
    for words in (
        ("--ir", name, "--vis", name, "-o", "x.png"),
        (f"--{name}", name),
        ("--json", "--ir", name),
    ):
        result = fsidfusion("fuse", *words, cwd=tmp_path)
        assert result.returncode == 2
        assert result.stderr
        assert not set(result.stdout + result.stderr) & set(b"\x1b\x07\x08\r")


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e999"])
@pytest.mark.parametrize(
    "call",
    [
        ["fuse", "--ir", "a.png", "--vis", "b.png", "-o", "c.png", "--max-megapixels"],
        ["video", "--ir", "a.mp4", "--vis", "b.mp4", "-o", "c.mp4", "--fps"],
        ["align", "--ir", "a.png", "--vis", "b.png", "-o", "c.json", "--ir-fov"],
    ],
    ids=lambda call: call[0],
)
def test_no_option_is_infinite_or_nan(call, value, capsys):
    assert main([*call, value]) == 2
    assert "no finite number" in " ".join(capsys.readouterr().err.split())
