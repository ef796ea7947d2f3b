"""Every reader of files from outside: whatever is in a file, it is read, or refused in one line, soon.

A few dozen cases of each reader run with the suite; ``make fuzz`` runs FSIDFUSION_FUZZ of each.
"""

import io
import json
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
import torch
import yaml
from PIL import Image

from fsidfusion.alignment.files import read_points
from fsidfusion.alignment.transform import Alignment, read_alignment, write_alignment
from fsidfusion.errors import FusionError
from fsidfusion.evaluation.labels import read_labels
from fsidfusion.images.files import decode_picture, read_header
from fsidfusion.images.pairs import match_pairs
from fsidfusion.network.checkpoint import import_published, load_model
from fsidfusion.network.names import WEIGHTS
from fsidfusion.studies.downstream.segmentation.classes import MSRS, load_classes
from fsidfusion.thermal.reading import read_thermal, read_visible
from fsidfusion.thermal.scene import Thermal
from fsidfusion.training.presets import TrainConfig, load_config
from memory_peak import growth_below
from mutation import damaged
from radiometric_files import camera_record, fff, planck_counts, raw_record, write_dji, write_flir
from volume_files import head, write_dicom_series, write_nifti_file

SHORT = 60
LONG = int(os.environ.get("FSIDFUSION_FUZZ", "0"))
SECONDS = 20  # that one case may take, whatever the machine is busy with
GROWTH = 1 << 30

Reader = tuple[str, list[bytes], Callable[[Path], object]]  # name of the file, seeds, what reads it

VISIBLE = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
GRAY = VISIBLE[..., 0]
DEEP = GRAY.astype(np.uint16) * 257


def pillow(kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(VISIBLE).save(stream, kind, **options)
    return stream.getvalue()


def tiff(pixels: np.ndarray, **options: object) -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(stream, pixels, **options)
    return stream.getvalue()


def picture(path: Path) -> None:
    """The header tells of the picture what the picture is."""
    shown = read_header(path)
    found = decode_picture(path)
    assert (shown.height, shown.width) == found.size
    assert shown.bytes >= found.pixels.nbytes


def of_bytes(seeds: list[bytes], suffix: str, read: Callable[[Path], object]) -> Callable[[Path], Reader]:
    return lambda folder: (f"x.{suffix}", seeds, read)


def thermal(folder: Path) -> Reader:
    block = fff([(1, raw_record(planck_counts(np.full((12, 16), 30.0)))), (0x20, camera_record())])
    flir = write_flir(folder / "flir.jpg", np.full((48, 64, 3), 90, np.uint8), block)
    dji = write_dji(folder / "dji.jpg", np.random.default_rng(0).integers(8000, 9000, (128, 160), np.uint16))

    def read(path: Path) -> None:
        with suppress(FusionError):
            read_visible(path)
        with suppress(FusionError):
            read_thermal(path, Thermal(unit="celsius"), temperature=True)
        read_thermal(path)

    return "x.jpg", [flir.read_bytes(), dji.read_bytes(), block], read


def nifti(folder: Path) -> Reader:
    pytest.importorskip("nibabel")
    from fsidfusion.fusion.volumes.files import read_volume

    path = folder / "seed.nii"
    volume = head((12, 10, 8))
    write_nifti_file(path, volume.voxels.astype(np.int16), volume.affine)
    return "x.nii", [path.read_bytes()], read_volume


def dicom(folder: Path) -> Reader:
    pytest.importorskip("pydicom")
    from fsidfusion.fusion.volumes.files import read_volume

    write_dicom_series(folder / "series", head((12, 10, 4)))
    files = sorted((folder / "series").iterdir())
    return (
        f"series/{files[1].name}",
        [file.read_bytes() for file in files],
        lambda path: read_volume(path.parent),
    )


def alignment(folder: Path) -> Reader:
    write_alignment(
        folder / "seed.json",
        Alignment(np.eye(3), (48, 64), (48, 64), "affine", "edges", np.zeros((2, 3, 2), np.float32)),
    )

    def read(path: Path) -> None:
        found = read_alignment(path).fitted((48, 64), (48, 64))
        found.place(np.array([[0.0, 0.0], [63.0, 47.0]]))
        write_alignment(folder / "again.json", found)

    return "x.json", [(folder / "seed.json").read_bytes()], read


def coco(folder: Path) -> Reader:
    whole = {
        "images": [{"id": 1, "file_name": "a.png"}],
        "categories": [{"id": 1, "name": "person"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 10, 10], "iscrowd": 0}],
    }
    return "x.json", [json.dumps(whole).encode()], lambda path: read_labels(path, {"a": (48, 64)})


def yolo(folder: Path) -> Reader:
    (folder / "classes.txt").write_text("person\ncar\n")
    seeds = [b"0 0.5 0.5 0.1 0.1\n1 0.2 0.3 0.1 0.2\n"]
    return "a.txt", seeds, lambda path: read_labels(path.parent, {"a": (48, 64)})


def published(folder: Path) -> Reader:
    stream = io.BytesIO()
    torch.save({"DIDF_Encoder": {"module.a": torch.zeros(3)}}, stream)
    return "x.pth", [stream.getvalue()], import_published


def hdf5(folder: Path) -> Reader:
    h5py = pytest.importorskip("h5py")
    from fsidfusion.training.hdf5 import GROUPS, published_pairs

    with h5py.File(folder / "seed.h5", "w") as file:
        for group in GROUPS:
            file.create_group(group).create_dataset("0", data=np.full((1, 16, 16), 0.5, np.float32))

    def read(path: Path) -> None:
        for pair in published_pairs(path):
            pair.read()

    return "x.h5", [(folder / "seed.h5").read_bytes()], read


READERS: dict[str, Callable[[Path], Reader]] = {
    "png": of_bytes([pillow("PNG"), cv2.imencode(".png", DEEP)[1].tobytes()], "png", picture),
    "jpeg": of_bytes([pillow("JPEG"), pillow("JPEG", progressive=True)], "jpg", picture),
    "bmp": of_bytes([pillow("BMP")], "bmp", picture),
    "gif": of_bytes([pillow("GIF")], "gif", picture),
    "webp": of_bytes([pillow("WEBP"), pillow("WEBP", lossless=True)], "webp", picture),
    "tiff": of_bytes(
        [
            pillow("TIFF"),
            pillow("TIFF", compression="tiff_lzw"),
            pillow("TIFF", compression="jpeg"),
            tiff(DEEP),
            tiff(DEEP, bigtiff=True, compression="zlib", predictor=True),
            tiff(GRAY.astype(np.float32), tile=(16, 16)),
        ],
        "tif",
        picture,
    ),
    "thermal": thermal,
    "nifti": nifti,
    "dicom": dicom,
    "alignment": alignment,
    "points": of_bytes([b"# c\n1,2,1,2\n30 4 31 5\n10,40,11,41\n"], "csv", read_points),
    "list": of_bytes([b"a.png\nb.png\n"], "txt", lambda path: match_pairs([path], [path])),
    "coco": coco,
    "yolo": yolo,
    "classes": of_bytes([yaml.safe_dump(MSRS.record()).encode()], "yaml", load_classes),
    "configuration": of_bytes(
        [yaml.safe_dump({**asdict(TrainConfig()), "betas": [0.9, 0.999]}).encode()],
        "yaml",
        lambda path: load_config(str(path)),
    ),
    "weights": of_bytes([(WEIGHTS / "fsidfusion-light.safetensors").read_bytes()], "safetensors", load_model),
    "published": published,
    "hdf5": hdf5,
}


def run(reader: str, folder: Path, cases: range) -> None:
    name, seeds, read = READERS[reader](folder)
    path = folder / name

    def late(*_: object) -> None:
        raise AssertionError(f"case {number} of {reader} takes over {SECONDS} s")

    before = signal.signal(signal.SIGALRM, late)
    try:
        for number in cases:
            path.write_bytes(damaged(seeds, number))
            signal.alarm(SECONDS)
            try:
                with growth_below(GROWTH):
                    read(path)
            except FusionError as error:
                said = str(error)
                assert len(said.splitlines()) == 1 and len(said) < 2500, f"case {number}: {said[:300]!r}"
            except BaseException as error:
                raise AssertionError(f"case {number} of {reader}: {type(error).__name__}: {error}") from error
            finally:
                signal.alarm(0)
    finally:
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("reader", READERS)
def test_damaged_files_are_read_or_refused(reader, tmp_path):
    run(reader, tmp_path, range(SHORT))


@pytest.mark.long
@pytest.mark.skipif(not LONG, reason="make fuzz runs it: FSIDFUSION_FUZZ says how many cases")
@pytest.mark.parametrize("reader", READERS)
def test_very_many_damaged_files_are_read_or_refused(reader, tmp_path):
    start = int(os.environ.get("FSIDFUSION_FUZZ_FROM", "1000"))
    run(reader, tmp_path, range(start, start + LONG))


@pytest.mark.parametrize("reader", READERS)
def test_what_is_damaged_here_was_read_before(reader, tmp_path):
    name, seeds, read = READERS[reader](tmp_path)
    if reader in ("list", "published"):  # of which a seed says too little to be taken
        return
    for seed in seeds:
        (tmp_path / name).write_bytes(seed)
        read(tmp_path / name)
