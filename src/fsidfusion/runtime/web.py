"""A network as a static folder for browsers: a page, the ONNX file and ONNX Runtime for the web.

Any web server serves it; pictures stay in the browser, and after the first visit it works offline.
"""

import hashlib
import json
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsidfusion.errors import InputError
from fsidfusion.images.atomic import put_in_place, scratch_folder
from fsidfusion.images.output_range import RangeMode

if TYPE_CHECKING:
    from torch import nn

ORT = "onnxruntime-web@1.30.0"  # the npm package that is fetched where no folder is given
_PAGE = Path(__file__).parent / "site"
# its WebAssembly for browsers without a GPU, and that for WebGPU
_ORT_FILES = (
    "ort.wasm.min.mjs",
    "ort-wasm-simd-threaded.mjs",
    "ort-wasm-simd-threaded.wasm",
    "ort.webgpu.min.mjs",
    "ort-wasm-simd-threaded.asyncify.mjs",
    "ort-wasm-simd-threaded.asyncify.wasm",
)


def write_site(
    network: "nn.Module",
    output: Path,
    *,
    ort: Path | None = None,
    mode: RangeMode = "percentile",
    card: dict[str, Any] | None = None,
) -> float:
    """Write the folder; it must not be there yet, or be empty.

    Args:
        network: in evaluation mode.
        output: the folder to make.
        ort: the folder of the npm package onnxruntime-web, or its ``dist``; by default ``npm`` fetches it.
        mode: the output range.
        card: of the model; its licence and name go into the ONNX file.

    Returns:
        the largest difference of the ONNX file from torch, of the range 0..1.

    Raises:
        InputError: a folder that holds something, no such package, or as
            :func:`fsidfusion.runtime.export.export`.
        MissingDependency: as there.
    """
    from fsidfusion.runtime.export import export

    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise InputError(f"output {output} holds something already; give a new folder")
    if not output.parent.is_dir():
        raise InputError(f"cannot write {output}: there is no folder {output.parent}; make it first")
    try:
        with _ort_folder(ort) as dist, scratch_folder(output.parent) as scratch:
            site = scratch / output.name
            (site / "ort").mkdir(parents=True)
            for name in _ORT_FILES:
                shutil.copyfile(dist / name, site / "ort" / name)
            difference = export(network, site / "network.onnx", colour=True, mode=mode, card=card)
            for page in _PAGE.iterdir():
                shutil.copyfile(page, site / page.name)
            _list_files(site)
            if output.exists():
                output.rmdir()
            put_in_place([site], output.parent)
    except OSError as error:
        raise InputError(f"cannot write {output} ({error.strerror}); choose another place") from error
    return difference


def _list_files(site: Path) -> None:
    """Tell the worker that keeps files for offline use what there is, WebGPU aside: 27 MB more."""
    names = sorted(str(path.relative_to(site).as_posix()) for path in site.rglob("*") if path.is_file())
    kept = [
        name for name in names if name != "offline.js" and "asyncify" not in name and "webgpu" not in name
    ]
    content = hashlib.sha256(b"".join((site / name).read_bytes() for name in names)).hexdigest()[:12]
    worker = (site / "offline.js").read_text("utf-8")
    worker = worker.replace("FILES", json.dumps(["./", *kept])).replace("VERSION", content)
    (site / "offline.js").write_text(worker, "utf-8")


@contextmanager
def _ort_folder(given: Path | None) -> Iterator[Path]:
    """The ``dist`` folder of onnxruntime-web."""
    if given is not None:
        found = next(
            (p for p in (given, given / "dist", given / "package" / "dist") if (p / _ORT_FILES[0]).exists()),
            None,
        )
        if found is None:
            raise InputError(
                f"`ort` {given} holds no onnxruntime-web; give the folder of its npm package ({ORT})"
            )
        yield _complete(found)
        return
    npm = shutil.which("npm")
    if npm is None:
        raise InputError(f"npm is not installed, so give `ort` the folder of the npm package {ORT}")
    with tempfile.TemporaryDirectory() as folder:
        call = [npm, "pack", ORT, "--silent", "--pack-destination", folder]
        done = subprocess.run(call, capture_output=True, text=True, cwd=folder)
        packed = next(Path(folder).glob("*.tgz"), None)
        if done.returncode or packed is None:
            reason = " ".join((done.stderr or done.stdout).split())[:200]
            raise InputError(f"npm cannot fetch {ORT} ({reason}); give `ort` its folder")
        with tarfile.open(packed) as archive:
            archive.extractall(folder, filter="data")
        yield _complete(Path(folder) / "package" / "dist")


def _complete(dist: Path) -> Path:
    missing = [name for name in _ORT_FILES if not (dist / name).is_file()]
    if missing:
        raise InputError(f"{dist} lacks {', '.join(missing)}: another version than {ORT}; give that one")
    return dist
