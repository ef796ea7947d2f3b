"""A disk that is really full: every command ends in one line, and leaves nothing half done."""

import os
import subprocess
import sys

import numpy as np
import pytest

from fsidfusion.images.files import Picture, write_picture

COMMANDS = {
    "fuse": ["fuse", "--ir", "ir", "--vis", "vi", "-o", "{disk}/out", "--model", "maximum"],
    "video": ["video", "--ir", "ir", "--vis", "vi", "-o", "{disk}/v.mkv", "--model", "maximum"],
    "export": ["export", "-o", "{disk}/m.onnx"],
    "prepare": ["data", "prepare", "--ir", "ir", "--vis", "vi", "--patch", "0", "-o", "{disk}/cache"],
    "dicom": ["fuse", "--mri", "a.nii", "--ct", "b.nii", "-o", "{disk}/dicom", "--model", "maximum"],
    "train": [
        "train", "--data", "cache", "--preset", "light", "-o", "{disk}/run", "--set", "batch=2", "crop=48",
        "reconstruction_epochs=0", "reconstruction_weight=0", "fusion_epochs=1", "steps_per_epoch=2",
        "set_weights={}", "validate_pairs=1", "min_std=0",
    ],
}  # fmt: skip
LONG = {"train", "export"}
PART = {"video", "prepare", "fuse"}  # of which what found room may be kept


@pytest.fixture(scope="module")
def disk(tmp_path_factory):
    """A disk of 256 KiB, nearly full."""
    place = tmp_path_factory.mktemp("disk")
    mounted = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(place)]
    if sys.platform != "linux" or os.geteuid() != 0 or subprocess.run(mounted, check=False).returncode:
        pytest.skip("a small disk can be mounted by root on Linux alone")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sources")
    chance = np.random.default_rng(0)
    for number in range(8):
        write_picture(folder / f"ir/{number}.png", Picture(chance.integers(0, 256, (240, 320), np.uint8)))
        write_picture(folder / f"vi/{number}.png", Picture(chance.integers(0, 256, (240, 320, 3), np.uint8)))
    return folder


def run(words, folder):
    command = [sys.executable, "-m", "fsidfusion", *words]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.long) if name in LONG else name for name in COMMANDS]
)
def test_a_full_disk_is_told_and_left_clean(disk, sources, name):
    if name == "dicom":
        pytest.importorskip("pydicom")
        from volume_files import head, write_nifti_file

        chance = np.random.default_rng(0)
        for file in ("a.nii", "b.nii"):
            noise = chance.integers(0, 900, (64, 64, 64)).astype(np.int16)
            write_nifti_file(sources / file, noise, head().affine)
    if name == "video":
        pytest.importorskip("av")
    if name in LONG:
        pytest.importorskip("torch")
        if "FSIDFUSION_FUZZ" not in os.environ:
            pytest.skip("half a minute: make fuzz runs it")
    if name == "train" and not (sources / "cache").exists():
        prepared = run([word.replace("{disk}", str(sources)) for word in COMMANDS["prepare"]], sources)
        assert prepared.returncode == 0, prepared.stderr
    found = run([word.replace("{disk}", str(disk)) for word in COMMANDS[name]], sources)
    assert found.returncode in (1, 2), found.stderr
    assert "Traceback" not in found.stderr
    assert "room" in found.stderr.lower() or "space" in found.stderr.lower(), found.stderr
    assert not [path for path in disk.rglob("*") if path.name.endswith(".part")]
    if name not in PART:
        assert not list(disk.rglob("*.dcm"))
        assert not list(disk.rglob("*.onnx"))
    for path in sorted(disk.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
