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


ALONE = """
import fcntl, os, socket, struct, sys

os.unshare(os.CLONE_NEWNET) if hasattr(os, "unshare") else unshare()
with socket.socket() as any_socket:  # the loopback device comes up: all that there is now
    fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh14x", b"lo", 0x1 | 0x40))

def unreachable():
    with open("/proc/net/snmp") as counters:
        names, values = (line.split() for line in counters if line.startswith("Ip:"))
    return int(dict(zip(names, values))["OutNoRoutes"])

before = unreachable()
%s
print("asked for elsewhere", unreachable() - before, file=sys.stderr)
sys.exit(71 if unreachable() > before else status)
""".replace("unshare()", "__import__('ctypes').CDLL(None).unshare(0x40000000) and sys.exit(77)")
ASKS = (
    "with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asks:\n    asks.connect_ex(('192.0.2.1', 53))"
)
FUSES = "from fsidfusion.cli import main\nstatus = main(sys.argv[1:])"


@pytest.mark.slow
@pytest.mark.parametrize("runtime", installed_runtimes())
def test_native_libraries_ask_no_other_machine(place, runtime):
    """Nor does what does not come by Python: in a network that leads nowhere, every packet is counted."""
    asked = run_guarded(place, ALONE % (ASKS + "\nstatus = 0"))
    if asked.returncode == 77:
        pytest.skip("a network of one's own needs rights")
    assert asked.returncode == 71, asked.stderr  # the count counts
    inputs = ("--ir", place / "in/ir", "--vis", place / "in/vis")
    done = run_guarded(place, ALONE % FUSES, "fuse", *inputs, "-o", "fused", "--runtime", runtime)
    check(place, done, "fused/0.png", "fused/1.png")


@pytest.mark.slow
def test_workers_of_ray_ask_no_other_machine(place):
    """In a network of its own, which leads nowhere: whatever process asks there is counted."""
    pytest.importorskip("ray", reason="ray is not installed")
    asked = run_guarded(place, ALONE % (ASKS + "\nstatus = 0"))
    if asked.returncode == 77:
        pytest.skip("a network of one's own needs rights")
    assert asked.returncode == 71, asked.stderr  # the count counts
    inputs = ("--ir", place / "in/ir", "--vis", place / "in/vis")
    model = ("--model", "maximum", "--on", "ray", "--workers", "1")
    done = run_guarded(place, ALONE % FUSES, "fuse", *inputs, "-o", "fused", *model)
    check(place, done, "fused/0.png", "fused/1.png")


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
