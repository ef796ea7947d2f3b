import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from fsidfusion import DEFAULT_MODEL, __version__
from fsidfusion.cli import COMMANDS, main
from fsidfusion.images.files import Picture, read_header, read_picture, write_picture


def fsidfusion(*arguments, **options) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "fsidfusion", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


@pytest.fixture(scope="session")
def weights(tmp_path_factory) -> Path:
    """A small network of the published architecture, untrained."""
    import torch

    from fsidfusion.network.checkpoint import save_weights
    from fsidfusion.network.fsidfusion import FSIDFusion

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    save_weights(path, FSIDFusion(channels=16, blocks=1))
    return path


def image(*shape, seed=0, dtype=np.uint8):
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max + 1, shape, dtype)


@pytest.fixture
def scene(tmp_path) -> Path:
    """ir/ and vis/ with three pairs, and a single pair beside them."""
    for i in range(3):
        write_picture(tmp_path / "ir" / f"{i}.png", Picture(image(40, 50, seed=i)))
        write_picture(tmp_path / "vis" / f"{i}.jpg", Picture(image(40, 50, 3, seed=i + 9)))
    write_picture(tmp_path / "thermal.png", Picture(image(33, 47)))
    write_picture(tmp_path / "colour.png", Picture(image(33, 47, 3)))
    return tmp_path


def fuse(*arguments) -> int:
    return main(["fuse", *map(str, arguments), "--device", "cpu"])


def test_one_line_gives_one_picture(scene, weights):
    output = scene / "new" / "fused.png"
    pair = ("--ir", scene / "thermal.png", "--vis", scene / "colour.png")
    result = fsidfusion("fuse", *pair, "-o", output, "--model", weights)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith(f"{output}  47x33  ")
    assert read_picture(output).pixels.shape == (33, 47, 3)


def test_folders_globs_and_lists_give_the_same(scene, weights, capsys):
    (scene / "ir.txt").write_text("\n".join(str(scene / "ir" / f"{i}.png") for i in range(3)))
    calls = {
        "folders": (scene / "ir", scene / "vis"),
        "globs": (f"{scene}/ir/*.png", f"{scene}/vis/*"),
        "lists": (scene / "ir.txt", scene / "vis"),
    }
    for name, (ir, vis) in calls.items():
        assert fuse("--ir", ir, "--vis", vis, "-o", scene / name, "--model", weights) == 0
        assert "3 of 3 pairs fused" in capsys.readouterr().out
    for i in range(3):
        results = [read_picture(scene / name / f"{i}.png").pixels for name in calls]
        assert all(np.array_equal(result, results[0]) for result in results)
    assert fuse("--pairs", scene, "-o", scene / "set", "--model", weights, "--format", "webp") == 0
    assert sorted(path.name for path in (scene / "set").iterdir()) == ["0.webp", "1.webp", "2.webp"]


@pytest.mark.parametrize("modality, channels", [("ct", 1), ("pet", 3), ("spect", 3)])
def test_medical_pairs(tmp_path, weights, modality, channels):
    write_picture(tmp_path / "mri.png", Picture(image(33, 47)))
    write_picture(tmp_path / "other.png", Picture(image(33, 47, 3) if channels == 3 else image(33, 47)))
    pair = ("--mri", tmp_path / "mri.png", f"--{modality}", tmp_path / "other.png")
    assert fuse(*pair, "-o", tmp_path / "fused.png", "--model", weights) == 0
    assert read_header(tmp_path / "fused.png").channels == channels
    assert fuse(*pair, "-o", tmp_path / "gray.png", "--model", weights, "--color", "gray") == 0
    assert read_header(tmp_path / "gray.png").channels == 1


def test_mri_is_fused_with_its_own_weights(tmp_path, capsys):
    for name in ("a", "b"):
        write_picture(tmp_path / f"{name}.png", Picture(image(20, 24)))
    for first, second, expected in (("mri", "ct", "fsidfusion-light-medical"), ("ir", "vis", DEFAULT_MODEL)):
        pair = (f"--{first}", tmp_path / "a.png", f"--{second}", tmp_path / "b.png")
        assert fuse(*pair, "-o", tmp_path / f"{first}.png", "--json") == 0
        assert json.loads(capsys.readouterr().out)["model"] == expected


def test_one_json_object_for_machines(scene, weights):
    (scene / "ir" / "alone.png").write_bytes((scene / "ir" / "0.png").read_bytes())
    (scene / "vis" / "1.jpg").write_bytes(b"\xff\xd8\xff broken")
    folders = ("--ir", scene / "ir", "--vis", scene / "vis", "-o", scene / "out")
    result = fsidfusion("fuse", *folders, "--model", weights, "--json")
    assert result.returncode == 1
    report = json.loads(result.stdout)
    assert (report["status"], report["fused"], report["failed"]) == (1, 2, 1)
    assert report["without_partner"] == [str(scene / "ir" / "alone.png")]
    fused, broken, _ = report["pairs"]
    assert fused == fused | {"name": "0", "status": "fused", "width": 50, "height": 40, "message": ""}
    assert fused["output"] == str(scene / "out" / "0.png")
    assert fused["seconds"] > 0
    assert broken["status"] == "failed"
    assert str(scene / "vis" / "1.jpg") in broken["message"]
    assert len(result.stderr.splitlines()) == 2  # the failures, at the end
    assert sorted(path.name for path in (scene / "out").iterdir()) == ["0.png", "2.png"]


def test_what_exists_is_skipped_or_replaced(scene, weights, capsys):
    call = (
        "--ir",
        scene / "thermal.png",
        "--vis",
        scene / "colour.png",
        "--model",
        weights,
        "-o",
        scene / "f.png",
    )
    (scene / "f.png").write_bytes(b"mine")
    assert fuse(*call) == 0
    assert "--overwrite" in capsys.readouterr().out
    assert (scene / "f.png").read_bytes() == b"mine"
    assert fuse(*call, "--overwrite") == 0
    assert read_picture(scene / "f.png").size == (33, 47)
    folders = ("--ir", scene / "ir", "--vis", scene / "vis", "--model", weights, "-o", scene / "out")
    write_picture(scene / "out" / "1.png", Picture(image(2, 2)))
    assert fuse(*folders) == 0
    assert "2 of 3 pairs fused" in capsys.readouterr().out
    assert read_picture(scene / "out" / "1.png").size == (2, 2)


def test_16_bits_stay_16_bits(tmp_path, weights, capsys):
    write_picture(tmp_path / "ir.png", Picture(image(33, 47, dtype=np.uint16)))
    write_picture(tmp_path / "vis.tif", Picture(image(33, 47, 3, dtype=np.uint16)))
    pair = ("--ir", tmp_path / "ir.png", "--vis", tmp_path / "vis.tif", "--model", weights)
    for name, bits, expected in (
        ("a.png", "auto", 16),
        ("a.tif", "auto", 16),
        ("b.png", "8", 8),
        ("c.jpg", "auto", 8),
    ):
        assert fuse(*pair, "-o", tmp_path / name, "--bits", bits) == 0
        assert read_header(tmp_path / name).bits == expected
    assert "reduced from 16" in capsys.readouterr().err
    assert fuse(*pair, "-o", tmp_path / "d.jpg", "--bits", "16") == 2
    assert "cannot hold 16 bits" in capsys.readouterr().err


def test_tiles_and_mapping_are_options(scene, weights):
    pair = ("--ir", scene / "thermal.png", "--vis", scene / "colour.png", "--model", weights)
    write_picture(scene / "thermal.png", Picture(image(150, 160)))
    write_picture(scene / "colour.png", Picture(image(150, 160)))
    for name, options in {
        "whole": ("--tile", "off"),
        "tiled": ("--tile", "120"),
        "minmax": ("--range", "minmax"),
    }.items():
        assert fuse(*pair, "-o", scene / f"{name}.png", *options, "--precision", "fp32") == 0
    whole, tiled, minmax = (read_picture(scene / f"{n}.png").pixels for n in ("whole", "tiled", "minmax"))
    assert np.abs(whole.astype(int) - tiled).max() <= 8
    assert (minmax.min(), minmax.max()) == (0, 255)


@pytest.mark.parametrize(
    "arguments, words",
    [
        ([], "no input"),
        (["--ir", "ir"], "given --ir; expected --ir and --vis"),
        (["--ir", "ir", "--vis", "vis", "--mri", "m"], "given --ir, --vis, --mri"),
        (["--mri", "m", "--ct", "c", "--pet", "p"], "one of --ct, --pet, --spect"),
        (["--pairs", "ir"], "ir holds no set"),
        (["--ir", "empty", "--vis", "vis"], "holds no picture"),
        (["--ir", "absent/*.png", "--vis", "vis"], "no picture matches"),
        (["--ir", "ir", "--vis", "thermal.png"], "share a stem"),
        (["--ir", "thermal.png", "--vis", "thermal.png"], "both inputs"),
        (["--ir", "twice", "--vis", "vis"], "same stem"),
        (["--ir", "ir", "--vis", "vis", "-o", "x.png"], "give a folder"),
        (["--ir", "thermal.png", "--vis", "colour.png", "-o", "x.gif"], "no extension of"),
        (["--ir", "thermal.png", "--vis", "colour.png", "--model", "no-such"], "no-such"),
        (["--ir", "thermal.png", "--vis", "colour.png", "--model", "w", "--tile", "big"], "big"),
    ],
)
def test_wrong_calls_are_one_line_and_status_2(scene, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(scene)
    (scene / "empty").mkdir()
    for name in ("0.png", "0.jpg"):
        write_picture(scene / "twice" / name, Picture(image(4, 4)))
    before = sorted(scene.rglob("*"))
    output = [] if "-o" in arguments else ["-o", "out"]
    assert fuse(*arguments, *output) == 2
    captured = capsys.readouterr()
    assert words in captured.err
    assert len(captured.err.splitlines()) == 1
    assert captured.out == ""
    assert sorted(scene.rglob("*")) == before


def test_bad_files_of_one_pair_are_status_2(scene, weights, capsys):
    write_picture(scene / "small.png", Picture(image(20, 20)))
    (scene / "empty.png").touch()
    (scene / "text.png").write_text("hello")
    cases = {
        "absent.png": "does not exist",
        "empty.png": "0 bytes",
        "text.png": "not a picture",
        "small.png": "--resize",
        "ir": "is a folder|share a stem",
    }
    for name, words in cases.items():
        call = (
            "--ir",
            scene / name,
            "--vis",
            scene / "colour.png",
            "-o",
            scene / "f.png",
            "--model",
            weights,
        )
        assert fuse(*call) == 2
        error = capsys.readouterr().err
        assert any(word in error for word in words.split("|"))
        assert len(error.splitlines()) == 1
        assert not (scene / "f.png").exists()
    call = (
        "--ir",
        scene / "small.png",
        "--vis",
        scene / "colour.png",
        "-o",
        scene / "f.png",
        "--model",
        weights,
    )
    assert fuse(*call, "--resize") == 0
    assert read_picture(scene / "f.png").size == (33, 47)


def test_limits_are_said(scene, weights, capsys):
    call = (
        "--ir",
        scene / "thermal.png",
        "--vis",
        scene / "colour.png",
        "--model",
        weights,
        "-o",
        scene / "f.png",
    )
    assert fuse(*call, "--max-megapixels", "0.001") == 2
    assert "--max-megapixels" in capsys.readouterr().err
    assert fuse(*call, "--memory", "1MiB") == 2
    assert "--memory" in capsys.readouterr().err
    assert fuse(*call[:-1], scene / "colour.png", "--overwrite") == 2
    assert "also an input" in capsys.readouterr().err
    assert fuse(*call[:-1], scene / "thermal.png" / "f.png") == 2
    assert "cannot be written" in capsys.readouterr().err
    assert read_picture(scene / "colour.png").size == (33, 47)


def test_errors_are_json_too(scene, capsys):
    assert fuse("--ir", scene / "ir", "-o", scene / "out", "--json") == 2
    report = json.loads(capsys.readouterr().out)
    assert report["status"] == 2
    assert "--vis" in report["error"]


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a terminal of POSIX")
def test_a_terminal_sees_progress(scene, weights):
    master, slave = pty.openpty()
    call = ["fuse", "--ir", scene / "ir", "--vis", scene / "vis", "-o", scene / "out", "--model", weights]
    command = [sys.executable, "-m", "fsidfusion", *map(str, call)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=slave, env=os.environ | {"TERM": "xterm"}
    ) as process:
        os.close(slave)
        shown = b""
        while chunk := _read(master):
            shown += chunk
        out = process.stdout.read()
    os.close(master)
    assert process.returncode == 0
    assert b"3/3" in shown
    assert b"pairs" in shown
    assert b"3 of 3 pairs fused" in out


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 4096)
    except OSError:  # how Linux says that the other end is closed
        return b""


def test_help_is_quick_and_complete():
    overview = fsidfusion()
    assert overview.returncode == 2
    assert all(name in overview.stdout for name in COMMANDS)
    assert fsidfusion("--version").stdout.strip() == f"fsidfusion {__version__}"
    unknown = fsidfusion("fusee")
    assert (unknown.returncode, "unknown command" in unknown.stderr) == (2, True)
    code = "from fsidfusion.cli import main, sys; main(['fuse', '--help']); sys.exit('torch' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert shown.returncode == 0
    assert all(option in shown.stdout for option in ("--ir", "--vis", "--mri", "--json", "--advanced-help"))


def test_wrong_options_are_status_2(capsys):
    assert main(["fuse", "--ir", "a", "--vis", "b", "-o", "c", "--colour", "x"]) == 2
    assert "--colour" in capsys.readouterr().err


def test_the_demo_fuses_and_shows_the_examples(tmp_path, weights, monkeypatch, capsys):
    examples = tmp_path / "examples"
    for name, shape in {"ir": (40, 50), "vis": (40, 50, 3), "mri": (30, 30), "pet": (30, 30, 3)}.items():
        kind = "street" if name in ("ir", "vis") else "head"
        write_picture(examples / name / f"{kind}.png", Picture(image(*shape)))
    monkeypatch.setattr("fsidfusion.cli.demo.EXAMPLES", examples)
    call = ["demo", "--output", str(tmp_path / "out"), "--model", str(weights), "--device", "cpu"]
    assert main(call) == 0
    *_, summary = shown = capsys.readouterr().out.splitlines()
    assert str(tmp_path / "out" / "contact_sheet.png") in summary
    fused = {path.stem for path in (tmp_path / "out").glob("*.png")} - {"contact_sheet"}
    assert fused == {"street", "head_mri_pet"}
    assert len(shown) == len(fused) + 2
    assert all(" s" in line for line in shown[1:-1])
    assert read_header(tmp_path / "out" / "contact_sheet.png").height > 240 * len(fused)
    head = next(path for path in (tmp_path / "out").glob("head*.png"))
    assert read_header(head).channels == 3  # the colours of PET


def test_a_demo_without_examples_says_what_to_do(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("fsidfusion.cli.demo.EXAMPLES", tmp_path / "absent")
    monkeypatch.setattr("fsidfusion.cli.demo.distribution", lambda name: SimpleNamespace(files=None))
    assert main(["demo", "--output", str(tmp_path / "out")]) == 2
    assert "fuse your own" in capsys.readouterr().err
