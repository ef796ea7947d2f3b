import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from fsidfusion.errors import FusionError
from fsidfusion.training.hdf5 import GROUPS, published_pairs, write_published
from fsidfusion.training.patches import PatchCache, PatchSettings, SourcePair
from fsidfusion.training.prepare import prepare
from memory_peak import growth_below

h5py = pytest.importorskip("h5py")
PATCHES = np.random.default_rng(5).integers(0, 256, (12, 2, 128, 128), np.uint8)


@pytest.fixture
def cache(tmp_path: Path) -> PatchCache:
    pairs = [SourcePair("a", str(i), "train", lambda i=i: (PATCHES[i, 0], PATCHES[i, 1])) for i in range(12)]
    return prepare(pairs, tmp_path / "cache", PatchSettings())


def test_layout_is_the_published_one_and_comes_back(cache: PatchCache, tmp_path: Path) -> None:
    assert write_published(cache, tmp_path / "patches.h5") == 12
    with h5py.File(tmp_path / "patches.h5") as file:
        assert set(file) == {"ir_patchs", "vis_patchs"}
        assert list(file["ir_patchs"]) == sorted(map(str, range(12)))
        stored = file["vis_patchs"]["11"]
        assert (stored.shape, stored.dtype) == ((1, 128, 128), np.float32)
        assert np.array_equal(stored[0], PATCHES[11, 1].astype(np.float32) / np.float32(255))
    pairs = published_pairs(tmp_path / "patches.h5")
    assert [pair.stem for pair in pairs] == [str(i) for i in range(12)]
    assert [pair.stem for pair in pairs if pair.split == "validation"] == ["0"]
    for i, pair in enumerate(pairs):
        assert all(np.array_equal(a, b) for a, b in zip(pair.read(), PATCHES[i], strict=True))
    with pytest.raises(FusionError, match="exists already"):
        write_published(cache, tmp_path / "patches.h5")


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.h5").write_text("no")
    with pytest.raises(FusionError, match="not a published patch file"):
        published_pairs(tmp_path / "text.h5")
    with h5py.File(tmp_path / "lone.h5", "w") as file:
        file.create_group("ir_patchs")["0"] = np.zeros((1, 8, 8), np.float32)
        file.create_group("vis_patchs")
    with pytest.raises(FusionError, match="1 patches have no partner"):
        published_pairs(tmp_path / "lone.h5")
    with h5py.File(tmp_path / "range.h5", "w") as file:
        for group in ("ir_patchs", "vis_patchs"):
            file.create_group(group)["0"] = np.full((1, 8, 8), 255, np.float32)
    with pytest.raises(FusionError, match=r"patch 0 is not a \(1, side, side\) array in 0\.\.1"):
        published_pairs(tmp_path / "range.h5")[0].read()


def test_command_line_writes_and_reads_both_forms(tmp_path: Path) -> None:
    for side, folder in enumerate(("ir", "vi")):
        (tmp_path / folder).mkdir()
        for i in range(2):
            cv2.imwrite(str(tmp_path / folder / f"{i}.png"), PATCHES[i, side])

    def run(*options: str) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-m", "fsidfusion", "data", "prepare", *options]
        return subprocess.run(line, capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path)

    written = run("--ir", "ir", "--vis", "vi", "--format", "hdf5", "-o", "patches.h5")
    assert written.returncode == 0, written.stderr
    again = run("--hdf5", "patches.h5", "-o", "again")
    assert again.returncode == 0, again.stderr
    assert np.array_equal(PatchCache(tmp_path / "again")[1][0], PATCHES[1, 0])
    both = run("--hdf5", "patches.h5", "--data", ".", "-o", "third")
    assert (both.returncode, both.stderr.count("\n")) == (2, 1)


def test_patches_that_are_not_there_are_not_made_up(tmp_path):
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        for group in GROUPS:
            file.create_group(group).create_dataset(
                "0", (1, 20_000, 20_000), np.float32, chunks=(1, 100, 100)
            )
    assert path.stat().st_size < 10_000
    (pair,) = published_pairs(path)
    with growth_below(100 << 20), pytest.raises(FusionError, match="cannot hold"):
        pair.read()


@pytest.mark.parametrize("place", range(0, 3000, 37))
def test_a_damaged_file_is_refused_in_one_line_or_read(tmp_path, place):
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        for group in GROUPS:
            file.create_group(group).create_dataset("0", data=np.full((1, 32, 32), 0.5, np.float32))
    content = bytearray(path.read_bytes())
    content[place : place + 4] = b"\xff\x7f\xff\x7f"
    path.write_bytes(content)
    try:
        for pair in published_pairs(path):
            pair.read()
    except FusionError as error:
        assert len(str(error).splitlines()) == 1
