"""Networks as ONNX, for runtimes without torch: those that are shipped, and what is said of them.

Beside the weights of a light network, NAME.safetensors, lies NAME.onnx, written from them by ``python -m
fsidfusion.runtime.export``. Its metadata name the sha256 of the weights that it was written from.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsidfusion.errors import ModelError
from fsidfusion.network.names import MEDICAL, is_name, shipped_file
from fsidfusion.runtime.interface import Traits

if TYPE_CHECKING:
    from torch import nn

_KEY = b"fsidfusion-claims:"  # begins what a shipped file says of itself, in an entry of its metadata


@dataclass(frozen=True)
class OnnxModel:
    """A network for OpenVINO and ONNX Runtime."""

    content: bytes  # of an ONNX file: infrared and visible (B, 1, H, W), maybe emphasis (), to fused
    traits: Traits
    pass_bytes: int  # most memory that a pass takes for a pixel
    load: "Callable[[], nn.Module]"  # the network in torch
    in_bf16: bool | None = None  # whether that is faithful under OpenVINO; None: to be compared


def shipped_onnx(model: str | Path) -> OnnxModel | None:
    """A shipped network by its name; None where it has no ONNX file, or ``model`` is a file.

    Raises:
        ModelError: an unknown name, or a file that was written from other weights.
    """
    if not is_name(model):
        return None
    weights = shipped_file(str(model))
    path = weights.with_suffix(".onnx")
    if not path.exists():
        return None
    content = path.read_bytes()
    said = read_claims(content)
    if said.get("weights_sha256") != weights_hash(weights):
        raise ModelError(
            f"{path} was written from other weights than {weights.name};"
            " write it again: python -m fsidfusion.runtime.export"
        )
    traits = Traits(**said["traits"])
    # in bf16 pictures differ by up to 2.4 grey levels from fp32, slices of MRI, black beside white, by 3.6

    def load() -> "nn.Module":
        from fsidfusion.network.checkpoint import load_model

        return load_model(weights)

    return OnnxModel(content, traits, said["pass_bytes"], load, in_bf16=not str(model).endswith(MEDICAL))


def weights_hash(path: Path) -> str:
    """The sha256 of a file of weights, in hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_claims(claims: dict[str, object]) -> str:
    """The entry of the metadata of a model that says so of itself."""
    return _KEY.decode() + json.dumps(claims, sort_keys=True) + "\n"


def read_claims(content: bytes) -> dict[str, Any]:
    """What a model says of itself, without a library that reads ONNX; empty where it says nothing."""
    _, found, rest = content.partition(_KEY)
    return json.loads(rest.partition(b"\n")[0]) if found else {}
