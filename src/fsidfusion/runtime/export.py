"""A network as one file for other runtimes and languages: ONNX, OpenVINO or TorchScript.

Two forms. Luma: ``infrared`` and ``visible`` (B, 1, H, W) float32 in 0..1 to ``fused`` (B, 1, H, W), before
any output mapping. Colour: ``infrared`` (B, H, W) and ``visible`` (B, H, W, 3) RGB, uint8, to ``fused``
(B, H, W, 3) RGB uint8, with colour conversion and output mapping in the file. Batch and sizes are free, from
2x2 up.
"""

import copy
import errno
import io
import json
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from fsidfusion import __version__
from fsidfusion.errors import InputError, is_installed, missing
from fsidfusion.images.atomic import is_written, put_in_place, scratch_folder, whole_file
from fsidfusion.images.output_range import LOW_PERCENTILE, MAX_GAIN, RangeMode
from fsidfusion.network.checkpoint import load_model
from fsidfusion.network.names import model_card, shipped_file, shipped_models
from fsidfusion.runtime.interface import Traits
from fsidfusion.runtime.libraries import import_onnxruntime, import_openvino
from fsidfusion.runtime.onnx_model import weights_hash, write_claims
from fsidfusion.runtime.torch_runtime import TorchRuntime

Format = Literal["onnx", "openvino", "torchscript"]

EXTENSIONS: dict[str, Format] = {".onnx": "onnx", ".xml": "openvino", ".pt": "torchscript"}
MAX_DIFFERENCE = 1e-3  # of a float32 pass of the file from torch, of the range 0..1
OPSET = 17
_INPUTS, _OUTPUT = ("infrared", "visible"), "fused"
_NEEDS = {"onnx": ("onnx",), "openvino": ("onnx", "openvino"), "torchscript": ()}
_SEEN = ((2, 33, 40), (1, 70, 51))  # batches on which the file is compared


class LumaForm(nn.Module):
    """A network for images of any size: extended by reflection to sides that it takes, and cut again."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.multiple = int(getattr(network, "size_multiple", 1))

    def forward(self, infrared: Tensor, visible: Tensor) -> Tensor:
        """(B, 1, H, W) each, float32 in 0..1, to (B, 1, H, W)."""
        height, width = infrared.shape[2], infrared.shape[3]
        fused = self.network(self._framed(infrared), self._framed(visible))
        return fused[:, :, :height, :width]

    def _framed(self, image: Tensor) -> Tensor:
        more = self.multiple - 1
        if not more:
            return image
        height, width = ((side + more) // self.multiple * self.multiple for side in image.shape[2:])
        return F.pad(image, (0, more, 0, more), mode="reflect")[:, :, :height, :width]


class EmphasisForm(nn.Module):
    """A network with an overview, whose emphasis of targets is an input."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, infrared: Tensor, visible: Tensor, emphasis: Tensor) -> Tensor:
        """(B, 1, H, W) each and (), to (B, 1, H, W)."""
        self.network.emphasis = emphasis
        return self.network(infrared, visible)


class ColourForm(nn.Module):
    """From camera frames to the fused one: luma, network, output mapping, chroma of the visible, rounding."""

    weights: Tensor

    def __init__(self, network: nn.Module, mode: RangeMode = "percentile") -> None:
        """``mode``: the output mapping of :func:`fsidfusion.images.output_range.find_range`."""
        super().__init__()
        self.luma = LumaForm(network)
        self.mode = mode
        self.register_buffer("weights", torch.tensor([0.299, 0.587, 0.114]))  # BT.601

    def forward(self, infrared: Tensor, visible: Tensor) -> Tensor:
        """(B, H, W) and (B, H, W, 3) uint8 to (B, H, W, 3) uint8."""
        rgb = visible.float() / 255
        source = (rgb * self.weights).sum(3).clamp(max=1.0)  # (B, H, W)
        fused = self.luma((infrared.float() / 255)[:, None], source[:, None])[:, 0]
        low, high = self._range(fused)
        level = ((fused - low) / (high - low)).clamp(0, 1)[..., None]  # (B, H, W, 1)
        chroma = rgb - source[..., None]
        highest, lowest = chroma.amax(3, keepdim=True), chroma.amin(3, keepdim=True)
        # chroma is scaled down as far as it fits, see pixels.recolour
        above = (1 - level) / highest.clamp(min=1e-6)
        below = level / (-lowest).clamp(min=1e-6)
        coloured = level + chroma * torch.minimum(above, below).clamp(max=1.0)
        return (coloured.clamp(0, 1) * 255 + 0.5).to(torch.uint8)

    def _range(self, fused: Tensor) -> tuple[Tensor, Tensor]:
        """Black and white of each image, (B, 1, 1) each."""
        flat = fused.flatten(1)
        if self.mode == "none":
            return torch.zeros_like(flat[:, :1, None]), torch.ones_like(flat[:, :1, None])
        if self.mode == "minmax":
            low, high = flat.amin(1)[:, None, None], flat.amax(1)[:, None, None]
            flat_image = (high <= low).float()
            return low * (1 - flat_image), high * (1 - flat_image) + flat_image
        flat = flat.clamp(0, 1)
        count = fused.shape[1] * fused.shape[2] * round(100 * LOW_PERCENTILE) // 10000 + 1
        high = flat.topk(count, 1).values[:, -1][:, None, None]
        low = flat.topk(count, 1, largest=False).values[:, -1][:, None, None]
        # a span widened by the bounded gain keeps the place of the values, see contrast.find_range
        widened = (1 / MAX_GAIN - (high - low)).clamp(min=0)
        position = low / (1 - (high - low)).clamp(min=1e-6)
        return low - position * widened, high + (1 - position) * widened


def export(
    network: nn.Module,
    path: Path,
    *,
    format: Format | None = None,
    colour: bool = False,
    mode: RangeMode = "percentile",
    card: dict[str, Any] | None = None,
    overwrite: bool = False,
) -> float:
    """Write a network for another runtime, having compared what the file computes with torch.

    Args:
        network: in evaluation mode; statistics of the whole image are taken in the file.
        path: of the file; OpenVINO writes a .bin file beside it.
        format: by default what the extension says: .onnx, .xml (OpenVINO) or .pt (TorchScript).
        colour: the form from uint8 frames to uint8 frames, else luma to luma.
        mode: the output mapping of the colour form.
        card: of the model; its licence and name go into the file.
        overwrite: replace a file that exists.

    Returns:
        the largest difference from torch at any pixel, of the range 0..1.

    Raises:
        InputError: an unknown extension, a package that is missing, a file that cannot be written, or that
            differs from torch by over ``MAX_DIFFERENCE`` (colour: by over one grey level).
    """
    format = format or EXTENSIONS.get(path.suffix.lower())
    if format is None or format not in get_args(Format):
        raise InputError(
            f"output {path} names no format; end it in {', '.join(EXTENSIONS)}, or give `format`"
        )
    if format == "openvino" and path.suffix != ".xml":
        raise InputError(f"output {path}: OpenVINO reads .xml files; give such a name")
    for name in _NEEDS[format]:
        if not is_installed(name):
            raise missing(name, f"format {format}")
    if not path.parent.is_dir():
        raise InputError(f"cannot write {path}: there is no folder {path.parent}; make it first")
    form = (ColourForm(network, mode) if colour else LumaForm(network)).eval()
    metadata = describe(network, colour, mode, card or {})
    if is_written(path) and not overwrite:
        raise InputError(f"{path} exists; give another name, or `overwrite`")
    if path.is_dir():
        raise InputError(f"output {path} is a folder; give a file")
    try:
        with scratch_folder(path.parent) as folder:
            part = folder / path.name
            _WRITERS[format](form, part, metadata)
            difference = max(_difference(form, part, format, shape) for shape in _SEEN)
            if not difference <= (1 / 255 + 1e-6 if colour else MAX_DIFFERENCE):
                raise InputError(
                    f"{format} differs from torch by {difference:.2g} for this network, more than"
                    f" {MAX_DIFFERENCE:g}; nothing was written: choose another format"
                )
            put_in_place(sorted(folder.iterdir()), path.parent)  # .bin before .xml, which refers to it
    except OSError as error:
        raise InputError(f"cannot write {path} ({error.strerror}); choose another place") from error
    return difference


def describe(network: nn.Module, colour: bool, mode: str, card: dict[str, Any]) -> dict[str, str]:
    """What the file says of itself: version, roles, ranges and licence."""
    kind = "uint8 0..255" if colour else "float32 0..1"
    return {
        "fsidfusion_version": __version__,
        "architecture": str(getattr(network, "architecture", type(network).__name__)),
        "config": json.dumps(getattr(network, "config", None)),
        "model": str(card.get("name", "")),
        "licence": str(card.get("licence", card.get("license", "MIT"))),
        "infrared": f"infrared, or CT, PET, SPECT; {'(B, H, W)' if colour else '(B, 1, H, W)'} {kind}",
        "visible": f"visible, or MRI; {'(B, H, W, 3) RGB' if colour else '(B, 1, H, W) luma'} {kind}",
        "fused": f"{'(B, H, W, 3) RGB' if colour else '(B, 1, H, W) luma'} {kind}",
        "range": mode if colour else "none: map the output to the range you write",
    }


def onnx_bytes(form: nn.Module, colour: bool = False, opset: int = OPSET) -> bytes:
    """A module of ``infrared`` and ``visible`` to ``fused`` as ONNX, with free batch and sizes.

    The exporter that traces is used: the other one takes minutes for the published network.
    """
    form = copy.deepcopy(form).to(memory_format=torch.contiguous_format).eval()  # type: ignore[call-overload]
    rows, columns = (1, 2) if colour else (2, 3)
    axes = {name: {0: "batch", rows: "height", columns: "width"} for name in (*_INPUTS, _OUTPUT)}
    more = {"emphasis": torch.tensor(1.0)} if isinstance(form, EmphasisForm) else {}
    stream = io.BytesIO()
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # of the tracer: sizes are free all the same, as the comparison shows
        torch.onnx.export(
            form,
            (*example(colour), *more.values()),
            stream,  # type: ignore[arg-type]
            dynamo=False,
            opset_version=opset,
            input_names=[*_INPUTS, *more],
            output_names=[_OUTPUT],
            dynamic_axes=axes,
        )
    return stream.getvalue()


def example(colour: bool, batch: int = 1, height: int = 64, width: int = 64) -> tuple[Tensor, Tensor]:
    """Noise of a form's input shapes and types, always the same."""
    random = torch.Generator().manual_seed(0)
    shapes = (
        ((batch, height, width), (batch, height, width, 3)) if colour else ((batch, 1, height, width),) * 2
    )
    infrared, visible = (torch.rand(shape, generator=random) for shape in shapes)
    return ((infrared * 255).byte(), (visible * 255).byte()) if colour else (infrared, visible)


def _write_onnx(form: nn.Module, path: Path, metadata: dict[str, str]) -> None:
    import onnx

    model = onnx.load_from_string(onnx_bytes(form, isinstance(form, ColourForm)))
    onnx.helper.set_model_props(model, metadata)
    model.producer_name, model.producer_version = "fsidfusion", __version__
    path.write_bytes(model.SerializeToString())


def _write_openvino(form: nn.Module, path: Path, metadata: dict[str, str]) -> None:
    openvino = import_openvino("the OpenVINO format")
    model = openvino.Core().read_model(onnx_bytes(form, isinstance(form, ColourForm)))
    for name, text in metadata.items():
        model.set_rt_info(text, ["fsidfusion", name])
    try:
        openvino.save_model(model, path, compress_to_fp16=False)
    except RuntimeError as error:
        raise OSError(errno.EIO, "OpenVINO's writer failed: no room, or no right") from error


def _write_torchscript(form: nn.Module, path: Path, metadata: dict[str, str]) -> None:
    form = copy.deepcopy(form).to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(form, example(isinstance(form, ColourForm)), check_trace=False)
    stream = io.BytesIO()  # torch's own writer ends the process where there is no room
    torch.jit.save(traced, stream, _extra_files={"fsidfusion.json": json.dumps(metadata)})
    path.write_bytes(stream.getbuffer())


_WRITERS = {"onnx": _write_onnx, "openvino": _write_openvino, "torchscript": _write_torchscript}


def run_file(path: Path, format: Format, pair: tuple[Tensor, Tensor]) -> NDArray[Any]:
    """What an exported file makes of a pair, in float32 in the runtime it is for."""
    infrared, visible = (image.numpy() for image in pair)
    if format == "onnx":
        onnxruntime = import_onnxruntime("a comparison with the file")
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        return np.asarray(session.run([_OUTPUT], {"infrared": infrared, "visible": visible})[0])
    if format == "openvino":
        openvino = import_openvino()
        compiled = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        return np.array(compiled([infrared, visible])[0])
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.asarray(torch.jit.load(path)(*pair).numpy())


def _difference(form: nn.Module, path: Path, format: Format, shape: tuple[int, int, int]) -> float:
    colour = isinstance(form, ColourForm)
    pair = example(colour, *shape)
    with torch.inference_mode():
        expected = form(*pair).numpy()
    try:
        found = run_file(path, format, pair)
    except Exception as error:  # whatever the runtime raises: the writer was cut short
        raise OSError(errno.EIO, "the file that was written does not run: no room?") from error
    if found.shape != expected.shape or found.dtype != expected.dtype:
        return float("inf")
    return float(np.abs(found.astype(np.float32) - expected).max()) / (255 if colour else 1)


def pass_bytes(network: nn.Module) -> int:
    """Memory that a pass of the network takes for a pixel, measured on two small ones."""
    runtime = TorchRuntime(network, "cpu", "fp32")
    return (runtime.peak_bytes(2_000_000) - runtime.peak_bytes(1_000_000)) // 1_000_000


def write_shipped(name: str) -> Path | None:
    """Write the ONNX form of a shipped network beside its weights; see :mod:`fsidfusion.runtime.onnx_model`.

    None, and nothing done, for networks with statistics of the whole image: they need torch for tiles.
    """
    import onnx

    weights = shipped_file(name)
    network = load_model(name)
    traits = Traits.of(network)
    if traits.has_global_statistics:
        return None
    has_overview = getattr(network, "overview", None) is not None
    form = EmphasisForm(network) if has_overview else network
    model = onnx.load_from_string(onnx_bytes(form))
    claims = {
        "weights_sha256": weights_hash(weights),
        "traits": asdict(traits),
        "pass_bytes": pass_bytes(load_model(name)),
    }
    said = describe(network, False, "none", {"name": name, **model_card(name)})
    onnx.helper.set_model_props(model, {**said, "claims": write_claims(claims)})
    path = weights.with_suffix(".onnx")
    with whole_file(path) as stream:
        stream.write(model.SerializeToString(deterministic=True))
    return path


if __name__ == "__main__":  # after a training that replaced shipped weights
    for name in shipped_models():
        if (written := write_shipped(name)) is not None:
            print(written)
