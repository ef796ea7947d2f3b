"""The pictures of a fixed set of calls stay the same, bit for bit, however the code is arranged.

Every call goes through the command line or the exported names alone, so that modules may move freely. What is
compared is decoded pixels (shape, type, values), never the bytes of files. Where the machine or a library is
another than the one that wrote ``golden/pictures.json``, arithmetic may round otherwise: there a coarse
thumbnail is compared instead. Videos are always compared so: given the very same frames, the encoder now and
then rounds a few pixels otherwise. A change of pictures that is meant is written down by

    python tests/test_same_pictures.py --write

and without ``--write`` the same line says what differs.
"""

import argparse
import base64
import contextlib
import hashlib
import io
import json
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
import torch

import fsidfusion
from fsidfusion.cli import main

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples"
GOLDEN = Path(__file__).resolve().parent / "golden" / "pictures.json"
LIBRARIES = ("torch", "numpy", "scipy", "opencv-python-headless", "pillow", "tifffile", "av", "nibabel")
RULE = ["--model", "maximum", "--threads", "1", "--device", "cpu"]
NETWORK = ["--precision", "fp32", "--runtime", "torch", "--threads", "1", "--device", "cpu"]
FRAMES = 8


# --- the sources: made of examples and of integer arithmetic, so that they are the same everywhere ---


def example(kind: str, name: str) -> np.ndarray:
    """An example picture as it is: gray, or RGB."""
    pixels = cv2.imread(str(EXAMPLES / kind / f"{name}.png"), cv2.IMREAD_UNCHANGED)
    assert pixels is not None, f"examples/{kind}/{name}.png is not readable"
    return pixels if pixels.ndim == 2 else np.ascontiguousarray(pixels[..., ::-1])


def save(path: Path, pixels: np.ndarray) -> None:
    """Write gray, RGB or RGBA pixels as PNG."""
    order = {2: slice(None), 3: (..., [2, 1, 0]), 4: (..., [2, 1, 0, 3])}
    pixels = pixels[order[pixels.shape[2] if pixels.ndim == 3 else 2]]
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels)


def ripple(height: int, width: int) -> np.ndarray:
    """A fine integer pattern 0..16 that takes the place of noise."""
    y, x = np.mgrid[:height, :width]
    return (7 * x + 13 * y + x * y // 5) % 17


def make_pictures(folder: Path) -> None:
    """Crops of 240x320, a shifted pair with its saved alignment, counts, temperatures, transparency."""
    for name in ("night_street", "smoke_rescue", "day_shade"):
        for kind in ("ir", "vis"):
            save(folder / kind / f"{name}.png", example(kind, name)[120:360, 160:480])
    infrared, visible = example("ir", "parking_drone"), example("vis", "parking_drone")
    save(folder / "shifted_ir.png", infrared[65:305, 107:427])
    save(folder / "shifted_vis.png", visible[60:300, 100:420])
    infrared, visible = example("ir", "day_shade"), example("vis", "day_shade")
    level = infrared[120:360, 160:480].astype(np.int64)
    save(folder / "counts.png", (7000 + 6 * level + ripple(*level.shape)).astype(np.uint16))
    tifffile.imwrite(
        folder / "centikelvin.tif", (28000 + 18 * level + ripple(*level.shape)).astype(np.uint16)
    )
    tifffile.imwrite(
        folder / "deep_vis.tif",
        (240 * visible[120:360, 160:480].astype(np.int64) + ripple(240, 320)[..., None]).astype(np.uint16),
        photometric="rgb",
    )
    save(folder / "small_ir.png", infrared[120:360:2, 160:480:2])
    alpha = np.broadcast_to((np.arange(320) * 255 // 319).astype(np.uint8)[None, :, None], (240, 320, 1))
    save(folder / "clear_vis.png", np.concatenate([visible[120:360, 160:480], alpha], axis=2))
    shifted = ["--ir", f"{folder}/shifted_ir.png", "--vis", f"{folder}/shifted_vis.png"]
    run(["align", *shifted, "--family", "translation", "-o", f"{folder}/alignment.json"])


def make_videos(folder: Path) -> None:
    """Lossless videos of 120x160: a warm square crosses a textured scene whose light changes."""
    import av

    y, x = np.mgrid[:120, :160]
    kinds = {"ir8": ("gray", "gray"), "ir16": ("gray16le", "gray16le"), "vis": ("rgb24", "bgr0")}
    for name, (given, stored) in kinds.items():
        with av.open(str(folder / f"{name}.mkv"), "w") as container:
            stream: Any = container.add_stream("ffv1", rate=25)
            stream.width, stream.height, stream.pix_fmt = 160, 120, stored
            for i in range(FRAMES):
                warm = (abs(x - 30 - 12 * i) < 14) & (abs(y - 60) < 22)
                infrared = 40 + (x + 2 * y) // 6 + ripple(120, 160) + 110 * warm
                colour = np.stack([x + 4 * i, 200 - y - 3 * i, (x * y) // 90], axis=-1)
                frame = {
                    "ir8": infrared,
                    "ir16": 7000 + 9 * infrared,
                    "vis": colour + 20 * (x // 16 % 2)[..., None],
                }
                pixels = frame[name].astype(np.uint16 if name == "ir16" else np.uint8)
                picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), given).reformat(
                    format=stored
                )
                container.mux(stream.encode(picture))
            container.mux(stream.encode(None))


def make_volumes(folder: Path) -> None:
    """A lopsided head as MRI, and as CT and PET on a coarser, shifted grid, so that they are resampled."""
    import nibabel

    def blob(shape: tuple[int, int, int], step: float, start: float) -> np.ndarray:
        i, j, k = (start + step * np.arange(n) for n in shape)
        return (i[:, None, None] - 17) ** 2 + (j[None, :, None] - 21) ** 2 + 2 * (k[None, None, :] - 11) ** 2

    fine, coarse = blob((40, 44, 20), 1.0, 0.0), blob((20, 22, 10), 2.0, 0.5)
    stripes = np.arange(40)[:, None, None] // 3 % 2 + np.arange(44)[None, :, None] // 4 % 2
    mri = np.where(fine < 260, 400 + 150 * stripes - fine, 0)
    ct = np.where(coarse < 300, np.where(coarse > 200, 1100, 35), -1000)
    pet = np.clip(9000 - 60 * np.roll(coarse, 2, axis=0), 0, None)
    grid = np.diag([2.0, 2.0, 2.0, 1.0])
    grid[:3, 3] = 0.5
    for name, voxels, affine in (("mri", mri, np.eye(4)), ("ct", ct, grid), ("pet", pet, grid)):
        nibabel.save(nibabel.Nifti1Image(voxels.astype(np.int16), affine), folder / f"{name}.nii.gz")


# --- the calls ---


@dataclass(frozen=True)
class Call:
    """One call: a command line, {s} for the folder of sources and {o} for that of outputs, or a function."""

    sources: str  # pictures, videos or volumes
    work: "list[str] | Callable[[], dict[str, np.ndarray]]"


def pair(name: str, *options: str, ir: str = "", vis: str = "") -> Call:
    """A pair of pictures to out.png."""
    sides = ["--ir", "{s}/" + (ir or f"ir/{name}.png"), "--vis", "{s}/" + (vis or f"vis/{name}.png")]
    return Call("pictures", ["fuse", *sides, "-o", "{o}/out.png", *options])


def medical(other: str, *options: str) -> Call:
    """The phantom head."""
    sides = ["--mri", str(EXAMPLES / "mri/head.png"), f"--{other}", str(EXAMPLES / other / "head.png")]
    return Call("pictures", ["fuse", *sides, "-o", "{o}/out.png", *options])


def video(infrared: str, *options: str) -> Call:
    """Two videos to out.mkv."""
    sides = ["--ir", f"{{s}}/{infrared}.mkv", "--vis", "{s}/vis.mkv"]
    return Call("videos", ["video", *sides, "-o", "{o}/out.mkv", *options])


def volume(other: str, *options: str) -> Call:
    """Two volumes to out.nii.gz."""
    sides = ["--mri", "{s}/mri.nii.gz", f"--{other}", f"{{s}}/{other}.nii.gz"]
    return Call("volumes", ["fuse", *sides, "-o", "{o}/out.nii.gz", *options])


def arrays(**engine: Any) -> Callable[[], dict[str, np.ndarray]]:
    """The exported functions, on arrays of several types."""

    def work() -> dict[str, np.ndarray]:
        infrared, visible = (example(kind, "smoke_rescue")[120:360, 160:480] for kind in ("ir", "vis"))
        fuser = fsidfusion.Fuser(range="none", **engine)
        return {
            "fuse": fsidfusion.fuse(infrared, visible, **engine),
            "heat": fsidfusion.fuse(infrared, visible, color="heat", **engine),
            "gray": fsidfusion.fuse(infrared, visible, color="gray", tile=576, **engine),
            "float": fuser.fuse((infrared / 255).astype(np.float32), (visible / 255).astype(np.float32)),
            "deep": fuser.fuse(infrared.astype(np.uint16) * 257, visible, dtype=np.uint16),
        }

    return work


SHIFTED = {"ir": "shifted_ir.png", "vis": "shifted_vis.png"}
TEMPERATURES = ["--highlight", "35C", "--temperature", "{o}/temperature.tif"]


def calls() -> dict[str, Call]:
    """Every call by name: all with a rule, those under "network" with the default network in fp32."""
    table: dict[str, Call] = {}
    for name in ("night_street", "smoke_rescue", "day_shade"):
        for color in ("auto", "gray", "heat"):
            table[f"{name} color {color}"] = pair(name, "--color", color)
    for mode in ("percentile", "minmax", "none"):
        table[f"range {mode}"] = pair("night_street", "--range", mode)
    table["bits 16"] = pair("smoke_rescue", "--bits", "16")
    table["deep visible"] = pair("", ir="ir/day_shade.png", vis="deep_vis.tif")
    table["transparent visible"] = pair("", ir="ir/day_shade.png", vis="clear_vis.png")
    table["tile 576"] = pair("day_shade", "--tile", "576")
    table["resize"] = pair("", "--resize", ir="small_ir.png", vis="vis/day_shade.png")
    table["align auto"] = pair("", "--align", "auto", **SHIFTED)
    table["align saved, crop"] = pair("", "--align", "{s}/alignment.json", "--crop", **SHIFTED)
    for mode in ("plateau", "clahe"):
        table[f"agc {mode}"] = pair("", "--agc", mode, ir="counts.png", vis="vis/day_shade.png")
    table["highlight"] = pair("", *TEMPERATURES, ir="centikelvin.tif", vis="vis/day_shade.png")
    table["folders"] = Call(
        "pictures", ["fuse", "--ir", "{s}/ir", "--vis", "{s}/vis", "-o", "{o}/", "--color", "heat"]
    )
    for other in ("ct", "pet"):
        table[f"medical {other}"] = medical(other)
    table["medical pet gray"] = medical("pet", "--color", "gray")
    table["video"] = video("ir8")
    table["video heat"] = video("ir8", "--color", "heat")
    table["video 16 bits"] = video("ir16", "--agc", "plateau")
    for other in ("ct", "pet"):
        for color in ("auto", "gray"):
            table[f"volume {other} {color}"] = volume(other, "--color", color)
    table["volume pet rainbow sagittal"] = volume("pet", "--colormap", "rainbow", "--axis", "sagittal")

    with_network = [
        "night_street color auto",
        "smoke_rescue color heat",
        "day_shade color gray",
        "range minmax",
    ]
    with_network += ["bits 16", "tile 576", "align saved, crop", "agc plateau", "highlight", "folders"]
    with_network += ["medical ct", "medical pet", "video", "video heat", "volume ct gray", "volume pet auto"]
    both: dict[str, Call] = {}
    for name, call in table.items():
        both[f"rule: {name}"] = Call(call.sources, [*call.work, *RULE])
    for name in with_network:
        both[f"network: {name}"] = Call(table[name].sources, [*table[name].work, *NETWORK])
    both["rule: arrays"] = Call("pictures", arrays(model="maximum", device="cpu", threads=1))
    both["network: arrays"] = Call(
        "pictures", arrays(device="cpu", precision="fp32", runtime="torch", threads=1)
    )
    return both


CALLS = calls()
MAKERS = {"pictures": make_pictures, "videos": make_videos, "volumes": make_volumes}
NEEDS = {"videos": "av", "volumes": "nibabel"}


def run(line: list[str]) -> None:
    """Run one command in this process; it must end well."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        status = main(line)
    assert status == 0, f"fsidfusion {' '.join(line)}\nended with {status}: {said.getvalue()}"


def results(call: Call, sources: Path, output: Path) -> dict[str, np.ndarray]:
    """The decoded pixels of every file that a call leaves, or every array that it returns."""
    if callable(call.work):
        return call.work()
    output.mkdir(parents=True)
    run([part.replace("{s}", str(sources)).replace("{o}", str(output)) for part in call.work])
    return {path.name: decoded(path) for path in sorted(output.iterdir())}


def decoded(path: Path) -> np.ndarray:
    """The pixels of a picture (H, W[, C]), a video (frames, H, W, 3) or a volume (slices, X, Y[, 3])."""
    if path.name.endswith(".nii.gz"):
        import nibabel

        voxels = np.asanyarray(nibabel.load(path).dataobj)
        if voxels.dtype.names:  # RGB
            voxels = np.stack([voxels[channel] for channel in voxels.dtype.names], axis=-1)
        return np.moveaxis(voxels, 2, 0)
    if path.suffix == ".mkv":
        import av

        with av.open(str(path)) as container:
            return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
    if path.suffix == ".tif":
        return tifffile.imread(path)
    pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert pixels is not None, f"{path} is not readable"
    return pixels


# --- comparing ---


def digest(pixels: np.ndarray) -> str:
    """SHA-256 of shape, type and values."""
    little = np.ascontiguousarray(pixels.astype(pixels.dtype.newbyteorder("<")))
    head = f"{pixels.shape} {pixels.dtype.name} ".encode()
    return hashlib.sha256(head + little.tobytes()).hexdigest()


def thumbnail(pixels: np.ndarray) -> np.ndarray:
    """Means of areas in 8 bits: (16, 16[, C]) of a picture, (n, 8, 8[, C]) of a video or volume.

    Floating values up to 1 are taken as 0..1, larger ones as degrees C, in quarters.
    """
    stack = pixels.ndim == 4 or (pixels.ndim == 3 and pixels.shape[-1] > 4)
    values = pixels.astype(np.float64)
    if pixels.dtype == np.uint16:
        values /= 257
    elif pixels.dtype.kind == "f":
        values *= 255 if np.nanmax(values) <= 1 else 4
    first, side = (1, 8) if stack else (0, 16)
    for axis in (first, first + 1):
        edges = np.linspace(0, values.shape[axis], side + 1).astype(int)
        sums = np.add.reduceat(values, edges[:-1], axis=axis)
        shape = [1] * values.ndim
        shape[axis] = side
        values = sums / np.diff(edges).reshape(shape)
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def machine() -> dict[str, str]:
    """What rounding may depend on: versions of libraries, and the processor."""
    here = {"system": f"{platform.system()} {platform.machine()}"}
    here["processor"] = torch.backends.cpu.get_cpu_capability()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        here["processor"] += next(
            (" " + line.split(": ", 1)[1] for line in lines if "model name" in line), ""
        )
    for name in LIBRARIES:
        try:
            here[name] = version(name)
        except PackageNotFoundError:
            here[name] = "none"
    here["torch"] = torch.__version__
    return here


def entry(pixels: np.ndarray, hashed: bool = True) -> dict[str, Any]:
    """What is kept of a picture; of what an encoder rounds, no hash."""
    small = base64.b64encode(thumbnail(pixels).tobytes()).decode()
    kept = {"shape": list(pixels.shape), "dtype": pixels.dtype.name, "thumbnail": small}
    return {**kept, "sha256": digest(pixels)} if hashed else kept


def difference(pixels: np.ndarray, kept: dict[str, Any], tolerance: int, exact: bool) -> str:
    """Why the pixels are not those that were kept; nothing where they are."""
    if list(pixels.shape) != kept["shape"] or pixels.dtype.name != kept["dtype"]:
        return f"is {pixels.dtype.name} {list(pixels.shape)}, was {kept['dtype']} {kept['shape']}"
    if "sha256" in kept and digest(pixels) == kept["sha256"]:
        return ""
    small = thumbnail(pixels)
    before = np.frombuffer(base64.b64decode(kept["thumbnail"]), np.uint8).reshape(small.shape)
    most = int(np.abs(small.astype(int) - before.astype(int)).max())
    if most <= tolerance and not (exact and "sha256" in kept):
        return ""
    return f"has other pixels; the thumbnails differ by up to {most} of 255"


def differences(name: str, found: dict[str, np.ndarray], golden: dict[str, Any], exact: bool) -> list[str]:
    """What a call left otherwise than before."""
    kept = golden["pictures"][name]
    if sorted(found) != sorted(kept):
        return [f"{name}: left {sorted(found)}, was {sorted(kept)}"]
    tolerance = 2 if CALLS[name].sources == "videos" else 1
    said = ((key, difference(pixels, kept[key], tolerance, exact)) for key, pixels in found.items())
    return [f"{name}: {key} {why}" for key, why in said if why]


@contextlib.contextmanager
def as_before() -> Iterator[None]:
    """Leave the number of threads as it was found."""
    threads = torch.get_num_threads(), cv2.getNumThreads()
    try:
        yield
    finally:
        torch.set_num_threads(threads[0])
        cv2.setNumThreads(threads[1])


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Path]]:
    """The folder of a kind of sources, made when it is first asked for."""
    made: dict[str, Path] = {}

    def folder(kind: str) -> Path:
        if kind in NEEDS:
            pytest.importorskip(NEEDS[kind])
        if kind not in made:
            path = tmp_path_factory.mktemp(kind)
            MAKERS[kind](path)
            made[kind] = path
        return made[kind]

    with as_before():
        yield folder


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    return json.loads(GOLDEN.read_text())


@pytest.mark.parametrize("name", CALLS)
def test_same_pictures(name: str, sources, golden, tmp_path: Path) -> None:
    found = results(CALLS[name], sources(CALLS[name].sources), tmp_path / "out")
    assert not differences(name, found, golden, exact=golden["machine"] == machine())


def test_every_call_is_kept(golden) -> None:
    assert sorted(golden["pictures"]) == sorted(CALLS)


def test_a_changed_pixel_is_told() -> None:
    pixels = np.arange(32 * 48, dtype=np.uint16).reshape(32, 48)
    kept, other = entry(pixels), pixels.copy()
    other[3, 5] += 1
    assert not difference(pixels, kept, 1, exact=True)
    assert "other pixels" in difference(other, kept, 1, exact=True)
    assert not difference(other, kept, 1, exact=False)
    assert "other pixels" in difference(other + 3 * 257, kept, 1, exact=False)
    assert "uint8" in difference(pixels.astype(np.uint8), kept, 1, exact=False)


def _script() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--write", action="store_true", help="write down the pictures of now")
    write = parser.parse_args().write
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        for kind, make in MAKERS.items():
            (root / kind).mkdir()
            make(root / kind)
        found = {
            key: results(call, root / call.sources, root / "out" / str(number))
            for number, (key, call) in enumerate(CALLS.items())
        }
    if write:
        kept = {
            key: {part: entry(pixels, CALLS[key].sources != "videos") for part, pixels in parts.items()}
            for key, parts in found.items()
        }
        GOLDEN.write_text(json.dumps({"machine": machine(), "pictures": kept}, indent=1) + "\n")
        return 0
    golden = json.loads(GOLDEN.read_text())
    exact = golden["machine"] == machine()
    told = [line for key, parts in found.items() for line in differences(key, parts, golden, exact)]
    how = "every pixel, videos by thumbnails" if exact else "thumbnails: another machine or library"
    print("\n".join([*told, f"{len(told)} differ, compared by {how}"]))
    return int(bool(told))


if __name__ == "__main__":
    sys.exit(_script())
