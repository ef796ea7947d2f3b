"""Nothing asks the network, and nothing is written beside the output, whatever runtime computes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fsidfusion.images.files import Picture, write_picture
from fsidfusion.runtime.runtimes import installed_runtimes
from fsidfusion.studies.scenes import render_scene

COMPILED = [name for name in installed_runtimes() if name != "torch"]
SOURCE = Path(__file__).resolve().parent.parent / "src"

GUARDED = """
import os, socket, sys

def refuse(*arguments, **options):
    print("the network was asked for", arguments, file=sys.stderr)
    os._exit(70)

class NoSocket(socket.socket):
    connect = connect_ex = sendto = bind = refuse

socket.socket = NoSocket
for name in ("getaddrinfo", "gethostbyname", "gethostbyname_ex", "create_connection"):
    setattr(socket, name, refuse)
from fsidfusion.cli import main
status = main(sys.argv[1:])
if os.path.isdir("/proc/self/fd"):  # of native libraries, which do not come by here
    for entry in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink("/proc/self/fd/" + entry)
        except OSError:
            continue
        if target.startswith("socket:") and int(entry) > 2:
            print("a socket is open", target, file=sys.stderr)
            status = 71
sys.exit(status)
"""


@pytest.fixture
def place(tmp_path):
    """Folders for the home, temporary files and the output, and one with two pairs."""
    for name in ("home", "temporary", "output"):
        (tmp_path / name).mkdir()
    for seed in range(2):
        scene = render_scene(seed, (96, 128))
        write_picture(tmp_path / "in" / "ir" / f"{seed}.png", Picture(scene.infrared))
        write_picture(tmp_path / "in" / "vis" / f"{seed}.png", Picture(scene.visible))
    return tmp_path


def run_guarded(place, code, *arguments):
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("XDG_", "ORT_"))}
    home, temporary = str(place / "home"), str(place / "temporary")
    environment = {
        **kept,
        "HOME": home,
        "USERPROFILE": home,
        "TMPDIR": temporary,
        "PYTHONPATH": str(SOURCE),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    call = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(call, capture_output=True, text=True, cwd=place / "output", env=environment)


def written(place):
    return sorted(
        str(path.relative_to(place))
        for name in ("home", "temporary", "output")
        for path in (place / name).rglob("*")
        if path.is_file()
    )


def check(place, done, *outputs):
    assert done.returncode == 0, done.stderr
    assert written(place) == sorted(f"output/{name}" for name in outputs)


@pytest.mark.parametrize("runtime", installed_runtimes())
def test_pairs(runtime, place):
    inputs = ("--ir", place / "in/ir", "--vis", place / "in/vis")
    done = run_guarded(place, GUARDED, "fuse", *inputs, "-o", "fused", "--runtime", runtime)
    check(place, done, "fused/0.png", "fused/1.png")


@pytest.mark.parametrize("runtime", COMPILED)
def test_scores(runtime, place):
    inputs = ("--ir", place / "in/ir", "--vis", place / "in/vis")
    model = ("--model", "fsidfusion-light", "--runtime", runtime)
    check(place, run_guarded(place, GUARDED, "evaluate", *inputs, *model, "--metrics", "EN", "MI"))


@pytest.mark.parametrize("runtime", COMPILED)
def test_frames(runtime, place):
    pytest.importorskip("av")
    inputs = ("--ir", place / "in/ir", "--vis", place / "in/vis")
    done = run_guarded(place, GUARDED, "video", *inputs, "-o", "fused.mp4", "--runtime", runtime)
    check(place, done, "fused.mp4")


@pytest.mark.parametrize("names", [("net.onnx",), ("net.xml", "net.bin")], ids=lambda n: n[0])
def test_files_of_other_runtimes(names, place):
    pytest.importorskip("torch")
    pytest.importorskip("onnx")
    if names[0].endswith(".xml"):
        pytest.importorskip("openvino")
    check(place, run_guarded(place, GUARDED, "export", "-o", names[0]), *names)


def test_the_guard_itself_sees_the_network_and_files(place):
    asks = GUARDED.replace("status = main(sys.argv[1:])", "socket.getaddrinfo('localhost', 80); status = 0")
    assert run_guarded(place, asks).returncode == 70
    leaves = GUARDED.replace(
        "status = main(sys.argv[1:])", "status = 0; open(os.path.expanduser('~/id'), 'w')"
    )
    assert run_guarded(place, leaves).returncode == 0
    assert written(place) == ["home/id"]


def test_both_libraries_are_imported_in_one_place():
    importing = [
        str(path.relative_to(SOURCE))
        for path in SOURCE.rglob("*.py")
        for line in path.read_text("utf-8").splitlines()
        if line.strip().startswith(
            ("import onnxruntime", "import openvino", "from onnxruntime", "from openvino")
        )
    ]
    assert importing == []
