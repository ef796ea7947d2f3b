"""What the base installation does: in a process where torch and every other extra are barred."""

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from fsidfusion.errors import _EXTRAS
from fsidfusion.images.files import Picture, write_picture
from fsidfusion.studies.scenes import render_scene

ROOT = Path(__file__).resolve().parent.parent
EXTRAS = sorted(name for name, extra in _EXTRAS.items() if extra and name != "yaml")

BARRED = f"""
import sys

class Bar:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {EXTRAS!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Bar())
from fsidfusion.cli import main
"""


def run(*arguments, code=None):
    """Run a command, or code, where no extra can be imported."""
    if code is None:
        code = f"sys.exit(main({[str(one) for one in arguments]!r}))"
    return subprocess.run([sys.executable, "-c", BARRED + code], capture_output=True, text=True, cwd=ROOT)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    root = tmp_path_factory.mktemp("pairs")
    for seed in range(3):
        scene = render_scene(seed, (96, 128))
        write_picture(root / "ir" / f"{seed}.png", Picture(scene.infrared))
        write_picture(root / "vis" / f"{seed}.png", Picture(scene.visible))
    return root


def test_pairs_and_folders_are_fused_as_by_torch(pairs, tmp_path):
    single = run("fuse", "--ir", pairs / "ir/0.png", "--vis", pairs / "vis/0.png", "-o", tmp_path / "one.png")
    assert (single.returncode, single.stderr) == (0, "")
    many = run("fuse", "--ir", pairs / "ir", "--vis", pairs / "vis", "-o", tmp_path / "out")
    assert many.returncode == 0, many.stderr
    one, first = (cv2.imread(str(path)) for path in (tmp_path / "one.png", tmp_path / "out" / "0.png"))
    np.testing.assert_array_equal(one, first)
    from fsidfusion import Fuser

    fuser = Fuser(device="cpu", runtime="torch", precision="fp32")
    scene = render_scene(0, (96, 128))
    exact = fuser.fuse(scene.infrared, scene.visible)
    assert np.abs(one[..., ::-1].astype(int) - exact).max() <= 1


@pytest.mark.skipif(sys.platform != "linux", reason="kilobytes are Linux's, and the allocator glibc's")
def test_one_pair_takes_little_memory(tmp_path):
    scene = render_scene(0, (480, 640))
    write_picture(tmp_path / "ir.png", Picture(scene.infrared))
    write_picture(tmp_path / "vis.png", Picture(scene.visible))
    names = [str(tmp_path / name) for name in ("ir.png", "vis.png", "fused.png")]
    call = ["fuse", "--ir", names[0], "--vis", names[1], "-o", names[2]]
    done = run(code=f"main({call!r}); print(open('/proc/self/status').read())")
    peak = next(line.split()[1] for line in done.stdout.splitlines() if line.startswith("VmHWM"))
    assert int(peak) / 1024 < 150


def test_pictures_and_networks_are_scored(pairs):
    inputs = ("--ir", pairs / "ir", "--vis", pairs / "vis")
    done = run("evaluate", *inputs, "--model", "fsidfusion-light", "maximum", "--json")
    assert done.returncode == 0, done.stderr
    assert "fsidfusion-light" in json.dumps(json.loads(done.stdout))


def test_pictures_are_aligned(scene, warped, tmp_path):
    write_picture(tmp_path / "ir.png", Picture(np.rint(warped[0]).clip(0, 255).astype(np.uint8)))
    write_picture(tmp_path / "vis.png", Picture(scene.visible))
    inputs = ("--ir", tmp_path / "ir.png", "--vis", tmp_path / "vis.png")
    done = run("align", *inputs, "-o", tmp_path / "rig.json")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "rig.json").exists()


def test_the_demo_is_made(tmp_path):
    done = run("demo", "--output", tmp_path / "demo")
    assert done.returncode == 0, done.stderr
    assert any((tmp_path / "demo").iterdir())


def test_networks_are_listed():
    done = run("models")
    assert done.returncode == 0 and "fsidfusion-light" in done.stdout


@pytest.mark.parametrize(
    "arguments, extra",
    [
        (("fuse", "--model", "fsidfusion"), "torch"),
        (("fuse", "--model", "own.safetensors"), "torch"),
        (("fuse", "--model", "wavelet"), "baselines"),
        (("fuse", "--runtime", "openvino"), "openvino"),
        (("fuse", "--device", "cuda"), "torch"),
        (("video",), "video"),
        (("export", "-o", "light.pt"), "torch"),
        (("train", "--data", "."), "torch"),
        (("align", "--method", "mi"), "align"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else None,
)
def test_what_is_missing_is_one_line(arguments, extra, pairs, tmp_path):
    command, *options = arguments
    given = {
        "fuse": ("--ir", pairs / "ir/0.png", "--vis", pairs / "vis/0.png", "-o", tmp_path / "fused.png"),
        "align": ("--ir", pairs / "ir/0.png", "--vis", pairs / "vis/0.png", "-o", tmp_path / "rig.json"),
        "video": ("--ir", tmp_path / "a.mp4", "--vis", tmp_path / "b.mp4", "-o", tmp_path / "c.mp4"),
        "train": ("-o", tmp_path / "run"),
    }.get(command, ())
    for name in ("a.mp4", "b.mp4", "own.safetensors"):
        (tmp_path / name).write_bytes(b"\0" * 64)
    options = [str(tmp_path / one) if one.endswith((".safetensors", ".pt")) else one for one in options]
    done = run(command, *given, *options)
    lines = done.stderr.splitlines()
    assert (done.returncode, len(lines)) == (2, 1), done.stderr
    assert f"pip install '.[{extra}]'" in lines[0]


def test_python_says_it_too():
    done = run(
        code="""
import fsidfusion
from fsidfusion import MissingDependency
print(sorted(fsidfusion.models()))
try:
    fsidfusion.load_model
except MissingDependency as error:
    print(error)
"""
    )
    assert "fsidfusion-light" in done.stdout
    assert "fsidfusion.load_model needs" in done.stdout and "'.[torch]'" in done.stdout, done.stderr
