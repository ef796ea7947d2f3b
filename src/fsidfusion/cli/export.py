"""``fsidfusion export``: a network as one file for other runtimes and languages."""

import time
from pathlib import Path
from typing import Annotated, Literal

import tyro

from fsidfusion import DEFAULT_MODEL
from fsidfusion.cli.messages import say
from fsidfusion.cli.options import Folder, OutputFile, Overwrite
from fsidfusion.errors import InputError


@tyro.conf.configure(tyro.conf.FlagCreatePairsOff)
def export(
    *,
    model: Annotated[str, tyro.conf.arg(metavar="NAME|FILE")] = DEFAULT_MODEL,
    format: Literal["onnx", "openvino", "torchscript", "web"] | None = None,
    rgb: bool = False,
    range: Literal["percentile", "minmax", "none"] = "percentile",
    ort: Folder = None,
    output: OutputFile,
    overwrite: Overwrite = False,
) -> None:
    """Write a network as ONNX, OpenVINO or TorchScript; what the file computes is compared with torch.

    Batch, height and width are free. Luma: infrared and visible (B, 1, H, W) float32 in 0..1 to the fused
    luma. With --rgb: infrared (B, H, W) and visible (B, H, W, 3) RGB, uint8, to the fused RGB frame.

    Args:
        model: a shipped network, or a .safetensors file.
        format: of the file, where its name does not say; web is a folder with a page for browsers.
        rgb: uint8 frames in and out, with colour conversion and output range inside.
        range: output range of the form with --rgb, and of the page.
        ort: for the page, the folder of the npm package onnxruntime-web; by default npm fetches it.
        output: the file; .onnx, .xml (OpenVINO, with a .bin beside it) or .pt (TorchScript).
    """
    from fsidfusion.network.checkpoint import load_model
    from fsidfusion.network.names import model_card, shipped_models
    from fsidfusion.runtime.export import export as write

    start = time.perf_counter()
    card = {"name": Path(model).stem, **(model_card(model) if model in shipped_models() else {})}
    if format == "web":
        from fsidfusion.runtime.web import write_site

        difference = write_site(load_model(model), output, ort=ort, mode=range, card=card)
        say(
            f"{output}  a page for any web server, {time.perf_counter() - start:.1f} s;"
            f" largest difference from torch {difference:.1e} of the range"
        )
        return
    if ort is not None:
        raise InputError("`ort` goes with `format` web alone")
    difference = write(
        load_model(model),
        output,
        format=format,
        colour=rgb,
        mode=range,
        card=card,
        overwrite=overwrite,
    )
    size = output.stat().st_size + (
        output.with_suffix(".bin").stat().st_size if output.suffix == ".xml" else 0
    )
    say(
        f"{output}  {size / 2**20:.2f} MiB, {time.perf_counter() - start:.1f} s;"
        f" largest difference from torch {difference:.1e} of the range"
    )
