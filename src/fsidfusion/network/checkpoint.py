"""Networks on disk: safetensors files that say what they hold, and the published checkpoint under our names.

A file of weights is never unpickled blindly: networks are read from safetensors, and the published ``.pth``
only by ``import_published``, through torch's reader for plain tensors.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from fsidfusion import DEFAULT_MODEL
from fsidfusion.errors import FusionError, ModelError
from fsidfusion.images.atomic import whole_file
from fsidfusion.network.fsidfusion import FSIDFusion

ARCHITECTURES = {
    # architecture: its class, imported when it is asked for
    "fsidfusion": "fsidfusion.network.fsidfusion.FSIDFusion",
    "fsidfusion-light": "fsidfusion.network.light.LightFusion",
}
WEIGHTS = Path(str(files("fsidfusion"))) / "weights"
MEDICAL = "-medical"  # ends the name of the weights of a network that are for MRI with CT, PET or SPECT
PICKLED = (".pth", ".pt", ".ckpt", ".bin", ".pkl", ".pickle", ".tar")


def shipped_models() -> list[str]:
    """The names that ``load_model`` knows."""
    return sorted(file.stem for file in WEIGHTS.glob("*.safetensors"))


def shipped_networks() -> list[str]:
    """The shipped names, the default one first, each network once: without what ``suited`` finds."""
    names = shipped_models()
    second = {name + MEDICAL for name in names}
    networks = [name for name in names if name not in second]
    return sorted(networks, key=lambda name: name != DEFAULT_MODEL)


def suited(name: str, medical: bool) -> str:
    """The weights to take for MRI pairs: NAME-medical where a NAME is shipped with such, else ``name``."""
    return name + MEDICAL if medical and name + MEDICAL in shipped_models() else name


def model_card(name: str) -> dict[str, Any]:
    """The card of a shipped network (recipe, data, scores, licence). InputError for an unknown name."""
    card = _shipped_file(name).with_suffix(".json")
    return json.loads(card.read_text("utf-8")) if card.exists() else {}


def models() -> dict[str, dict[str, Any]]:
    """The shipped networks: the card (recipe, data, scores, licence) by the name that ``model`` takes."""
    return {name: model_card(name) for name in shipped_models()}


def build_model(architecture: str, options: Mapping[str, Any] | None = None) -> nn.Module:
    """A network with fresh weights from torch's random state; ``options`` are its constructor's arguments.

    InputError for an unknown architecture or options that it does not take.
    """
    if architecture not in ARCHITECTURES:
        raise ModelError(f"no network is named {architecture!r}; choose {' or '.join(ARCHITECTURES)}")
    module, name = ARCHITECTURES[architecture].rsplit(".", 1)
    try:
        return getattr(import_module(module), name)(**(options or {}))
    except TypeError as error:
        raise ModelError(f"{architecture} does not take these options: {error}") from error


def load_model(name_or_path: str | Path, device: str | torch.device = "cpu") -> nn.Module:
    """A network ready to fuse (evaluation mode), by its shipped name or from a safetensors file.

    InputError for an unknown name, or a file that is absent, damaged, unsafe or holds no network of ours.
    """
    path = Path(name_or_path)
    if path.suffix.lower() in PICKLED:
        raise ModelError(
            f"{path} is a pickled checkpoint, which is never loaded as it is; convert it once: "
            f"fsidfusion import-weights {path} -o {path.with_suffix('.safetensors').name}"
        )
    if path.suffix != ".safetensors" and not path.exists():
        path = _shipped_file(str(name_or_path))
    metadata, state = _read(path)
    model = _build(path, metadata)
    _load(model, state, f"{path} does not fit the {metadata['architecture']} network that it names")
    return model.eval().to(device)


def save_weights(path: str | Path, model: nn.Module, metadata: Mapping[str, str] | None = None) -> None:
    """Write a network whole or not at all: under a temporary name, which then takes the place of ``path``.

    Its architecture and configuration are added to the metadata. InputError where it cannot be written.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise ModelError(f"weights are written as safetensors; {path} should end in .safetensors")
    if not path.parent.is_dir():
        raise ModelError(f"cannot write {path}: there is no folder {path.parent}; make it first")
    described = {
        **(metadata or {}),
        "architecture": str(model.architecture),
        "config": json.dumps(model.config),
    }
    try:
        with whole_file(path) as stream:
            stream.write(to_bytes(model.state_dict(), described))
    except OSError as error:
        raise ModelError(f"cannot write {path} ({error.strerror}); choose another place") from error


def to_bytes(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """Tensors and what is said of them as a safetensors file; equal ones give equal bytes.

    The library writes the entries of the metadata in an order that changes from call to call; here they are
    sorted, in a header of the same length.
    """
    stored = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    content = save(stored, dict(metadata))
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    header["__metadata__"] = dict(sorted(metadata.items()))
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    return b"".join((content[:8], text.ljust(end - 8), content[end:]))


def _shipped_file(name: str) -> Path:
    names = shipped_models()
    if name in names:
        return WEIGHTS / f"{name}.safetensors"
    close = get_close_matches(name, names, n=1, cutoff=0.4)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    known = ", ".join(names) or "none in this installation"
    raise ModelError(f"no network or file is named {name!r}{hint} (shipped networks: {known})")


def _read(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    try:
        with safe_open(path, "pt") as file:
            names = file.keys()
            return file.metadata() or {}, {name: file.get_tensor(name) for name in names}
    except FileNotFoundError:
        raise ModelError(f"there is no file {path}; give a safetensors file or a shipped name") from None
    except (OSError, SafetensorError) as error:
        raise ModelError(
            f"{path} is not a whole safetensors file ({error}); fetch or convert it again"
        ) from error


def _build(path: Path, metadata: dict[str, str]) -> nn.Module:
    architecture = metadata.get("architecture", "")
    if architecture not in ARCHITECTURES:
        given = repr(architecture) if architecture else "no architecture"
        raise ModelError(f"{path} names {given} in its metadata; known are {', '.join(ARCHITECTURES)}")
    try:
        return build_model(architecture, json.loads(metadata.get("config", "{}")))
    except (ValueError, TypeError, RuntimeError, FusionError) as error:
        raise ModelError(
            f"{path} holds no usable configuration of {architecture} ({error}); save it again"
        ) from error


def _load(
    model: nn.Module, state: Mapping[str, Tensor], what: str, shown: Mapping[str, str] | None = None
) -> None:
    """Fill ``model``, or raise one InputError with all that does not fit, named as in ``shown``."""
    own = model.state_dict()
    shown = shown or {}
    wrong = [n for n in own if n in state and state[n].shape != own[n].shape]
    broken = [n for n in own if n in state and not state[n].isfinite().all()]
    shapes = (f"{shown.get(n, n)} {tuple(state[n].shape)} for {tuple(own[n].shape)}" for n in wrong)
    faults = [
        _first("missing", [shown.get(n, n) for n in own if n not in state]),
        _first("unknown", [n for n in state if n not in own]),
        _first("of another shape", list(shapes)),
        _first("not finite", [shown.get(n, n) for n in broken]),
    ]
    if any(faults):
        raise ModelError(f"{what}: {'; '.join(filter(None, faults))}")
    model.load_state_dict(state)


def _first(fault: str, names: list[str], number: int = 8) -> str:
    more = f" and {len(names) - number} more" if len(names) > number else ""
    return f"{len(names)} {fault}: {', '.join(names[:number])}{more}" if names else ""


# The published checkpoint: our names and its own, module by module.
_FEED_FORWARD = {"expand": "project_in", "spatial": "dwconv", "project": "project_out"}
_NORMS = {"attention_norm": "norm1.body", "feed_forward_norm": "norm2.body"}
_RESTORMER = {
    **_NORMS,
    "attention.temperature": "attn.temperature",
    "attention.qkv": "attn.qkv",
    "attention.qkv_spatial": "attn.qkv_dwconv",
    "attention.project": "attn.project_out",
    **{f"feed_forward.{ours}": f"ffn.{theirs}" for ours, theirs in _FEED_FORWARD.items()},
}
_LITE_TRANSFORMER = {
    **_NORMS,
    "attention.temperature": "attn.scale",
    "attention.qkv": "attn.qkv1",
    "attention.qkv_spatial": "attn.qkv2",
    "attention.project": "attn.proj",
    **{f"feed_forward.{ours}": f"mlp.{theirs}" for ours, theirs in _FEED_FORWARD.items()},
}
_BOTTLENECKS = {
    f"{letter}.{ours}": f"theta_{letter}.bottleneckBlock.{theirs}"
    for letter in ("phi", "rho", "eta")
    for ours, theirs in {"expand": 0, "spatial": 3, "project": 5}.items()
}
_COUPLING = {"mix": "shffleconv", **_BOTTLENECKS}
_INTERACTION = {
    "unused_mix": "shffleconv",
    **_BOTTLENECKS,
    **{f"gate.local_branch.{ours}": f"AFF.local_att.{i}" for ours, i in
       {"reduce": 0, "reduce_norm": 1, "expand": 3, "expand_norm": 4}.items()},
    **{f"gate.global_branch.{ours}": f"AFF.global_att.{i}" for ours, i in
       {"reduce": 1, "reduce_norm": 2, "expand": 4, "expand_norm": 5}.items()},
}  # fmt: skip

_MODULES: tuple[tuple[str, str, dict[str, str]], ...] = (
    # ours, published (# stands for the number of a block), and the names below them
    ("encoder.embedding", "DIDF_Encoder.patch_embed.proj", {}),
    ("encoder.blocks.#", "DIDF_Encoder.encoder_level1.#", _RESTORMER),
    ("encoder.infrared_shared", "DIDF_Encoder.baseFeature_ir", _LITE_TRANSFORMER),
    ("encoder.visible_shared", "DIDF_Encoder.baseFeature_vis", _LITE_TRANSFORMER),
    ("encoder.infrared_specific.#", "DIDF_Encoder.detailFeature_ir.net.#", _COUPLING),
    ("encoder.visible_specific.#", "DIDF_Encoder.detailFeature_vis.net.#", _COUPLING),
    ("encoder.interaction.infrared_in", "DIDF_Encoder.duelFuse.Trans1", _LITE_TRANSFORMER),
    ("encoder.interaction.visible_in", "DIDF_Encoder.duelFuse.Trans2", _LITE_TRANSFORMER),
    ("encoder.interaction.infrared_out", "DIDF_Encoder.duelFuse.Trans3", _LITE_TRANSFORMER),
    ("encoder.interaction.visible_out", "DIDF_Encoder.duelFuse.Trans4", _LITE_TRANSFORMER),
    ("encoder.interaction", "DIDF_Encoder.duelFuse", _INTERACTION),
    ("specific_fusion.#", "SepcificFuseLayer.net.#", _COUPLING),
    ("decoder.merge", "DIDF_Decoder.reduce_channel", {}),
    ("decoder.blocks.#", "DIDF_Decoder.encoder_level2.#", _RESTORMER),
    ("decoder.reduce", "DIDF_Decoder.output.0", {}),
    ("decoder.output", "DIDF_Decoder.output.2", {}),
)


def published_names(model: FSIDFusion) -> dict[str, str]:
    """The published name (part.name) of every stored value of the network, by our name."""
    table = {}
    for ours, theirs, below in _MODULES:
        for i in range(4):  # no published list is longer
            pairs = {f"{ours}.{a}": f"{theirs}.{b}" for a, b in below.items()} or {ours: theirs}
            table.update({a.replace("#", str(i)): b.replace("#", str(i)) for a, b in pairs.items()})
    names = {}
    for name in model.state_dict():
        module, _, leaf = name.rpartition(".")
        names[name] = table[name] if name in table else f"{table[module]}.{leaf}"
    return names


def import_published(path: str | Path) -> FSIDFusion:
    """The network from a published checkpoint (.pth), in evaluation mode.

    The file holds the state dicts ``DIDF_Encoder``, ``DIDF_Decoder`` and ``SepcificFuseLayer``, nested or
    flat, with or without ``module.`` before each name. Only plain tensors are read, no code. InputError for
    a file that is absent, unsafe, damaged or not such a checkpoint; the message lists what is missing,
    unknown or misshapen.
    """
    try:
        with Path(path).open("rb") as file:
            start = file.read(2)
        if start != b"PK" and not start.startswith(b"\x80"):  # neither a zip nor a pickle
            raise ModelError(f"{path} is not a torch checkpoint; give the published file (.pth)")
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except FusionError:
        raise
    except OSError as error:
        raise ModelError(
            f"cannot read {path} ({error.strerror}); give a published checkpoint (.pth)"
        ) from error
    except Exception as error:  # a damaged pickle may raise nearly anything
        reason = str(error).strip().partition("\n")[0]
        if "weights only load failed" in reason.lower() or "unsupported" in reason.lower():
            raise ModelError(
                f"{path} holds more than plain tensors, so it is not read: it could run code"
            ) from error
        raise ModelError(f"{path} is damaged or not a torch checkpoint ({reason}); fetch it again") from error
    return from_published(checkpoint, str(path))


def from_published(checkpoint: Any, source: str = "the checkpoint") -> FSIDFusion:
    """The network from the content of a published checkpoint; see ``import_published``."""
    model = FSIDFusion()
    published = published_names(model)
    ours = {theirs: name for name, theirs in published.items()}
    parts = {name.partition(".")[0] for name in ours}
    pattern = re.compile(rf"(?:^|.*\.)({'|'.join(sorted(parts))})\.(?:module\.)*(.+)")
    found = [(pattern.fullmatch(name), tensor) for name, tensor in _tensors(checkpoint)]
    state = {f"{match[1]}.{match[2]}": tensor for match, tensor in found if match}
    if not state:
        raise ModelError(
            f"{source} is not a published FSIDFusion checkpoint: it has none of {', '.join(sorted(parts))}"
        )
    _load(
        model,
        {ours.get(name, name): x for name, x in state.items()},
        f"{source} does not fit FSIDFusion",
        published,
    )
    return model.eval()


def to_published(model: FSIDFusion) -> dict[str, dict[str, Tensor]]:
    """The values as the published code stores them: three state dicts, names beginning with ``module.``."""
    parts: dict[str, dict[str, Tensor]] = {}
    state = model.state_dict()
    for ours, theirs in published_names(model).items():
        part, _, name = theirs.partition(".")
        parts.setdefault(part, {})[f"module.{name}"] = state[ours].contiguous()
    return parts


def _tensors(tree: Any, prefix: str = "", depth: int = 4) -> Iterator[tuple[str, Tensor]]:
    """Every tensor in nested dicts with its dotted name."""
    branches: Iterable[tuple[Any, Any]] = tree.items() if isinstance(tree, Mapping) and depth else ()
    for name, branch in branches:
        if isinstance(branch, Tensor):
            yield f"{prefix}{name}", branch
        else:
            yield from _tensors(branch, f"{prefix}{name}.", depth - 1)
