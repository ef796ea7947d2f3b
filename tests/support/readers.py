"""Every reader of files from outside, with small files that it takes: what the fuzz tests damage."""

import io
import json
import zipfile
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

from fsidfusion.alignment.calibration import align_cameras, read_camera
from fsidfusion.alignment.files import read_points
from fsidfusion.alignment.transform import Alignment, read_alignment, write_alignment
from fsidfusion.errors import FusionError
from fsidfusion.evaluation.labels import read_labels
from fsidfusion.fusion.frame_times import of_list
from fsidfusion.images.files import decode_picture, read_header
from fsidfusion.images.manifest import read_manifest, write_table
from fsidfusion.images.pairs import match_pairs
from fsidfusion.network.checkpoint import import_published, load_model, save_weights
from fsidfusion.network.light import LightFusion
from fsidfusion.studies.downstream.segmentation.classes import MSRS, load_classes
from fsidfusion.thermal.reading import read_thermal, read_visible
from fsidfusion.thermal.scene import Thermal
from fsidfusion.training.patches import NAMES, PatchCache, SourcePair
from fsidfusion.training.prepare import PatchSettings, prepare
from fsidfusion.training.presets import TrainConfig, load_config
from radiometric_files import camera_record, fff, planck_counts, raw_record, write_dji, write_flir
from volume_files import head, write_dicom_series, write_nifti_file

Reader = tuple[str, list[bytes], Callable[[Path], object]]  # name of the file, seeds, what reads it

VISIBLE = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
GRAY = VISIBLE[..., 0]
DEEP = GRAY.astype(np.uint16) * 257
CALIBRATION = """%YAML:1.0
---
image_width: 64
image_height: 48
camera_matrix: !!opencv-matrix
   rows: 3
   cols: 3
   dt: d
   data: [60., 0., 32., 0., 60., 24., 0., 0., 1.]
distortion_coefficients: !!opencv-matrix
   rows: 1
   cols: 5
   dt: d
   data: [0.1, -0.05, 0., 0., 0.]
R: {rows: 3, cols: 3, data: [1., 0., 0., 0., 1., 0., 0., 0., 1.]}
T: [0.05, 0., 0.]
"""


def pillow(kind: str, mode: str = "RGB", **options: object) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(VISIBLE).convert(mode).save(stream, kind, **options)
    return stream.getvalue()


def tiff(pixels: np.ndarray, **options: object) -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(stream, pixels, **options)
    return stream.getvalue()


def exif() -> Image.Exif:
    tags = Image.Exif()
    tags[271], tags[274], tags[306] = "Maker", 6, "2024:01:01 00:00:00"
    tags.get_ifd(34853)[2] = (1.0, 2.0, 3.0)
    return tags


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


def temperatures(folder: Path) -> Reader:
    """Tables of degrees as the software of cameras exports them."""
    degrees = np.random.default_rng(0).uniform(10, 40, (18, 20)).round(1)
    comma = "\n".join(",".join(map(str, row)) for row in degrees)
    semicolon = "\n".join(";".join(str(cell).replace(".", ",") for cell in row) for row in degrees)
    seeds = [f"Camera,1\n{comma}\nend\n".encode(), semicolon.encode("utf-16")]
    return "x.csv", seeds, lambda path: read_thermal(path, Thermal(unit="celsius"), temperature=True)


def parquet(folder: Path) -> Reader:
    pytest.importorskip("pyarrow")
    columns = {"infrared": ["a.png", "b.png"], "visible": ["c.png", "d.png"], "output": ["e", "f"]}
    write_table(folder / "seed.parquet", columns)
    return "x.parquet", [(folder / "seed.parquet").read_bytes()], read_manifest


def nifti(folder: Path) -> Reader:
    pytest.importorskip("nibabel")
    from fsidfusion.fusion.volumes.files import read_volume

    path = folder / "seed.nii"
    volume = head((12, 10, 8))
    write_nifti_file(path, volume.voxels.astype(np.int16), volume.affine)
    return "x.nii", [path.read_bytes()], read_volume


def packed_nifti(folder: Path) -> Reader:
    pytest.importorskip("nibabel")
    from fsidfusion.fusion.volumes.files import read_volume

    volume = head((12, 10, 8))
    write_nifti_file(folder / "seed.nii.gz", volume.voxels.astype(np.int16), volume.affine)
    return "x.nii.gz", [(folder / "seed.nii.gz").read_bytes()], read_volume


def itk(folder: Path) -> Reader:
    sitk = pytest.importorskip("SimpleITK")
    from fsidfusion.fusion.volumes.files import read_volume

    image = sitk.GetImageFromArray(head((12, 10, 8)).voxels.astype(np.int16))
    seeds = []
    for name, packed in (("a.mha", False), ("b.mha", True)):
        sitk.WriteImage(image, str(folder / name), packed)
        seeds.append((folder / name).read_bytes())
    return "x.mha", seeds, read_volume


def nrrd(folder: Path) -> Reader:
    sitk = pytest.importorskip("SimpleITK")
    from fsidfusion.fusion.volumes.files import read_volume

    image = sitk.GetImageFromArray(head((12, 10, 8)).voxels.astype(np.int16))
    seeds = []
    for name, packed in (("a.nrrd", False), ("b.nrrd", True)):
        sitk.WriteImage(image, str(folder / name), packed)
        seeds.append((folder / name).read_bytes())
    return "x.nrrd", seeds, read_volume


def dicom(folder: Path) -> Reader:
    pytest.importorskip("pydicom")
    from fsidfusion.fusion.volumes.files import read_volume

    write_dicom_series(folder / "series", head((12, 10, 3)))
    files = sorted((folder / "series").iterdir())
    return (
        f"series/{files[1].name}",
        [files[1].read_bytes()],
        lambda path: read_volume(path.parent),
    )


def packed_dicom(folder: Path) -> Reader:
    """Series whose pixels are compressed: by run lengths, as JPEG without loss, JPEG-LS and JPEG 2000."""
    pydicom = pytest.importorskip("pydicom")
    pytest.importorskip("gdcm")
    from fsidfusion.fusion.volumes.dicom_find import read_header as read_dicom_header
    from fsidfusion.fusion.volumes.dicom_frames import frames_of, read_frames

    write_dicom_series(folder / "series", head((32, 24, 1)))
    (plain,) = (folder / "series").iterdir()
    seeds = []
    for syntax in (None, "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90"):
        if syntax is None:
            image = pydicom.dcmread(plain)
            image.compress(pydicom.uid.RLELossless, encoding_plugin="pydicom")
            image.save_as(folder / "packed.dcm")
        else:
            compress_by_gdcm(plain, folder / "packed.dcm", syntax)
        seeds.append((folder / "packed.dcm").read_bytes())

    def read(path: Path) -> None:
        read_frames(frames_of(path, read_dicom_header(path)))

    return "x.dcm", seeds, read


def compress_by_gdcm(source: Path, target: Path, syntax: str) -> None:
    import gdcm

    reader = gdcm.ImageReader()
    reader.SetFileName(str(source))
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    kinds = {
        "1.2.840.10008.1.2.4.70": gdcm.TransferSyntax.JPEGLosslessProcess14_1,
        "1.2.840.10008.1.2.4.80": gdcm.TransferSyntax.JPEGLSLossless,
        "1.2.840.10008.1.2.4.90": gdcm.TransferSyntax.JPEG2000Lossless,
    }
    change.SetTransferSyntax(gdcm.TransferSyntax(kinds[syntax]))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(target))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()


def video(folder: Path) -> Reader:
    av = pytest.importorskip("av")
    from fsidfusion.fusion.sources import open_source

    seeds = []
    for name, codec, kind in (
        ("a.mp4", "libx264", "yuv420p"),
        ("b.avi", "mjpeg", "yuvj420p"),
        ("c.mkv", "ffv1", "gray"),
    ):
        with av.open(str(folder / name), "w") as container:
            stream = container.add_stream(codec, rate=25)
            stream.width, stream.height, stream.pix_fmt = 32, 24, kind
            for _ in range(3):
                frame = av.VideoFrame.from_ndarray(VISIBLE, format="rgb24")
                container.mux(stream.encode(frame.reformat(format=kind)))
            container.mux(stream.encode(None))
        seeds.append((folder / name).read_bytes())

    def read(path: Path) -> None:
        for _, _ in zip(open_source(str(path)).frames, range(20)):
            pass

    return "x.mp4", seeds, read


def recording(folder: Path) -> Reader:
    """FLIR's SEQ: blocks one after the other."""
    from fsidfusion.fusion.sources import open_source

    block = fff([(1, raw_record(planck_counts(np.full((12, 16), 30.0)))), (0x20, camera_record())])

    def read(path: Path) -> None:
        for _, _ in zip(open_source(str(path)).frames, range(20)):
            pass

    return "x.seq", [block * 2], read


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


def calibration(folder: Path) -> Reader:
    (folder / "visible.yaml").write_text(CALIBRATION)
    visible = read_camera(folder / "visible.yaml")
    return "x.yaml", [CALIBRATION.encode()], lambda path: align_cameras(read_camera(path), visible, 10.0)


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


def configuration(folder: Path) -> Reader:
    """The fields of a configuration, a few in each seed: each takes a millisecond to read."""
    fields = list({**asdict(TrainConfig()), "betas": [0.9, 0.999]}.items())
    parts = [dict(fields[i : i + 3]) for i in range(0, len(fields), 3)]
    return "x.yaml", [yaml.safe_dump(part).encode() for part in parts], lambda path: load_config(str(path))


def weights(folder: Path) -> Reader:
    torch.manual_seed(0)
    save_weights(folder / "seed.safetensors", LightFusion(2, 2, 1))
    return "x.safetensors", [(folder / "seed.safetensors").read_bytes()], load_model


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
    with h5py.File(folder / "packed.h5", "w") as file:
        for group in GROUPS:
            part = file.create_group(group)
            part.create_dataset("0", data=np.full((1, 16, 16), 0.5, np.float32), compression="gzip")

    def read(path: Path) -> None:
        for pair in published_pairs(path):
            pair.read()

    return "x.h5", [(folder / name).read_bytes() for name in ("seed.h5", "packed.h5")], read


def archive(folder: Path) -> Reader:
    from fsidfusion.serving.archives import Room, unpack

    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as packed:
        packed.writestr("ir/a.png", pillow("PNG"))
        packed.writestr("vi/a.png", pillow("PNG"), zipfile.ZIP_DEFLATED)
    target = folder / "taken"
    target.mkdir(exist_ok=True)

    def read(path: Path) -> None:
        with path.open("rb") as file:
            unpack(file, "the archive", target, Room(1 << 20))

    return "x.zip", [stream.getvalue()], read


def cache_index(folder: Path) -> Reader:
    """The index of a patch cache, beside pixels that are whole."""
    _cache(folder / "cache")
    return "cache/index.json", [(folder / "cache" / "index.json").read_bytes()], _read_cache


def cache_pixels(folder: Path) -> Reader:
    """The pixels of a patch cache, beside an index that is whole."""
    _cache(folder / "cache")
    name = f"{NAMES[0]}.npy"
    return f"cache/{name}", [(folder / "cache" / name).read_bytes()], _read_cache


def _cache(folder: Path) -> None:
    pair = SourcePair("a", "1", "train", lambda: (GRAY, GRAY[::-1].copy()))
    prepare([pair], folder, PatchSettings(patch=0))


def _read_cache(path: Path) -> None:
    cache = PatchCache(path.parent)
    for position in cache.positions("train"):
        assert cache[position][0].shape == cache[position][1].shape


READERS: dict[str, Callable[[Path], Reader]] = {
    "png": of_bytes(
        [
            pillow("PNG"),
            pillow("PNG", "L"),
            pillow("PNG", "P"),
            pillow("PNG", "1"),
            pillow("PNG", "RGBA", exif=exif()),
            cv2.imencode(".png", DEEP)[1].tobytes(),
            cv2.imencode(".png", np.dstack([DEEP] * 4))[1].tobytes(),
        ],
        "png",
        picture,
    ),
    "jpeg": of_bytes(
        [
            pillow("JPEG", exif=exif()),
            pillow("JPEG", progressive=True),
            pillow("JPEG", "L", restart_marker_blocks=2),
            pillow("JPEG", "CMYK"),
        ],
        "jpg",
        picture,
    ),
    "bmp": of_bytes(
        [pillow("BMP"), pillow("BMP", "L"), pillow("BMP", "P"), pillow("BMP", "1"), pillow("BMP", "RGBA")],
        "bmp",
        picture,
    ),
    "gif": of_bytes([pillow("GIF"), pillow("GIF", "L", interlace=True)], "gif", picture),
    "webp": of_bytes(
        [pillow("WEBP", exif=exif()), pillow("WEBP", lossless=True), pillow("WEBP", "RGBA")], "webp", picture
    ),
    "tiff": of_bytes(
        [
            pillow("TIFF"),
            pillow("TIFF", compression="tiff_lzw"),
            pillow("TIFF", compression="tiff_adobe_deflate"),
            pillow("TIFF", compression="packbits"),
            pillow("TIFF", compression="jpeg"),
            pillow("TIFF", "1", compression="group4"),
            pillow("TIFF", "P"),
            pillow("TIFF", "CMYK"),
            tiff(DEEP),
            tiff(DEEP, byteorder=">"),
            tiff(DEEP, bigtiff=True, compression="zlib", predictor=True),
            tiff(GRAY.astype(np.float32), tile=(16, 16)),
            tiff(np.moveaxis(VISIBLE, -1, 0), photometric="rgb", planarconfig="separate"),
            cv2.imencode(".tif", DEEP, [cv2.IMWRITE_TIFF_COMPRESSION, 5])[1].tobytes(),
        ],
        "tif",
        picture,
    ),
    "points": of_bytes([b"# c\n1,2,1,2\n30 4 31 5\n10,40,11,41\n"], "csv", read_points),
    "times": of_bytes([b"# s\na.png, 0.0\n0.04\n1700000000.08\n"], "txt", of_list),
    "list": of_bytes([b"a.png\nb.png\n"], "txt", lambda path: match_pairs([path], [path])),
    "manifest": of_bytes(
        [b"infrared,visible,output\na.png,b.png,c\nd.png,e.png,f\n", b'mri,ct\n"a, b.png",c.png\n'],
        "csv",
        read_manifest,
    ),
    "parquet": parquet,
    "temperatures": temperatures,
    "coco": coco,
    "yolo": yolo,
    "alignment": alignment,
    "calibration": calibration,
    "classes": of_bytes([yaml.safe_dump(MSRS.record()).encode()], "yaml", load_classes),
    "configuration": configuration,
    "archive": archive,
    "cache_index": cache_index,
    "cache_pixels": cache_pixels,
    "recording": recording,
    "weights": weights,
    "published": published,
    "nifti": nifti,
    "packed_nifti": packed_nifti,
    "itk": itk,
    "nrrd": nrrd,
    "hdf5": hdf5,
    "thermal": thermal,
    "video": video,
    "dicom": dicom,
    "packed_dicom": packed_dicom,
}
SAYS_TOO_LITTLE = ("list", "published")  # a seed of these is not taken
