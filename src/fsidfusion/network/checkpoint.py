"""Networks on disk: safetensors files that say what they hold, and the published checkpoint under our names.

A file of weights is never unpickled blindly: networks are read from safetensors, and the published ``.pth``
only by ``import_published``, through torch's reader for plain tensors.
"""

import json
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from fsidfusion.errors import FusionError, InputError, ModelError
from fsidfusion.images.atomic import whole_file
from fsidfusion.images.budget import regular_file
from fsidfusion.network.fsidfusion import FSIDFusion
from fsidfusion.network.names import is_name, shipped_file

ARCHITECTURES = {
    # architecture: its class, imported when it is asked for
    "fsidfusion": "fsidfusion.network.fsidfusion.FSIDFusion",
    "fsidfusion-light": "fsidfusion.network.light.LightFusion",
}
Shape = tuple[int, ...]
_FLOATS = ("F32", "F16", "BF16", "F64")
_SMALL = 64  # options up to this are taken without tensors that bear them out
_LARGEST = 1e9  # of a weight or a running variance; beyond it, nothing that is computed is sound
_LARGEST_PICKLE = 512 << 20  # bytes; the published ones have 30 MB
_DEPTH = 3  # of dicts within dicts in a published checkpoint
PICKLED = (".pth", ".pt", ".ckpt", ".bin", ".pkl", ".pickle", ".tar")


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
    if is_name(path):
        path = shipped_file(str(name_or_path))
    metadata, claimed = _read_header(path)
    architecture, config = _described(path, metadata, claimed)
    what = f"{path} does not fit the {architecture} network that it names"
    with torch.device("meta"):  # shapes alone: nothing is allocated for what the file does not hold
        _check_shapes(_build(path, architecture, config).state_dict(), claimed, what)
    model = _build(path, architecture, config)
    _load(model, _read(path), what)
    return model.eval().to(device)


def architecture_of(path: Path) -> str:
    """The architecture that a safetensors file names; ModelError where it is none of ours."""
    return _described(path, *_read_header(path))[0]


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


def _read_header(path: Path) -> tuple[dict[str, str], dict[str, Shape]]:
    """What a safetensors file says of itself, and the shapes of its tensors; nothing else is read."""
    with _opened(path) as file:
        shapes = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        odd = [n for n, x in shapes.items() if x.get_dtype() not in (*_FLOATS, "I64")]
        if odd:
            raise ModelError(
                f"{path} holds {_first('of another type than float', odd)}; export the weights as floats"
            )
        return file.metadata() or {}, {name: tuple(x.get_shape()) for name, x in shapes.items()}


def _read(path: Path) -> dict[str, Tensor]:
    with _opened(path) as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        regular_file(path, "safetensors file")
        with safe_open(path, "pt") as file:
            yield file
    except InputError as error:
        raise ModelError(f"{error} (a safetensors file, or the name of a shipped network)") from None
    except (OSError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelError(
            f"{path} is not a whole safetensors file ({reason}); fetch or convert it again"
        ) from error


def _described(
    path: Path, metadata: Mapping[str, str], claimed: Mapping[str, Shape]
) -> tuple[str, dict[str, Any]]:
    """The architecture that a file names, and its options, whose numbers its tensors can bear out."""
    architecture = metadata.get("architecture", "")
    if architecture not in ARCHITECTURES:
        given = repr(architecture[:80]) if architecture else "no architecture"
        raise ModelError(f"{path} names {given} in its metadata; known are {', '.join(ARCHITECTURES)}")
    try:
        config = json.loads(metadata.get("config", "{}"), parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise _unusable(path, architecture, error) from error
    if not isinstance(config, dict):
        raise _unusable(path, architecture, "no table of options")
    most = max([_SMALL, len(claimed), *(side for shape in claimed.values() for side in shape)])
    for name, value in config.items():
        numbers = value if isinstance(value, list) else [value]
        if not all(isinstance(n, int | float) and abs(n) <= most for n in numbers):
            raise _unusable(path, architecture, f"{name[:80]} is no number that its tensors bear out")
    return architecture, config


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no finite number")


def _unusable(path: Path, architecture: str, reason: object) -> ModelError:
    text = " ".join(str(reason).split())[:300]
    return ModelError(f"{path} holds no usable configuration of {architecture} ({text}); save it again")


def _build(path: Path, architecture: str, config: Mapping[str, Any]) -> nn.Module:
    try:
        return build_model(architecture, config)
    except (ValueError, TypeError, RuntimeError, ZeroDivisionError, FusionError) as error:
        raise _unusable(path, architecture, error) from error


def _check_shapes(
    own: Mapping[str, Tensor],
    given: Mapping[str, Shape],
    what: str,
    shown: Mapping[str, str] | None = None,
) -> None:
    """Raise one ModelError with all names and shapes that do not fit, named as in ``shown``."""
    shown = shown or {}
    wrong = [n for n in own if n in given and given[n] != tuple(own[n].shape)]
    shapes = (f"{shown.get(n, n)} {given[n]} for {tuple(own[n].shape)}" for n in wrong)
    faults = [
        _first("missing", [shown.get(n, n) for n in own if n not in given]),
        _first("unknown", [n for n in given if n not in own]),
        _first("of another shape", list(shapes)),
    ]
    if any(faults):
        raise ModelError(f"{what}: {'; '.join(filter(None, faults))}")


def _load(
    model: nn.Module, state: Mapping[str, Tensor], what: str, shown: Mapping[str, str] | None = None
) -> None:
    """Fill ``model``, or raise one ModelError with all that does not fit, named as in ``shown``."""
    shown = shown or {}
    _check_kinds(state, what, shown)
    _check_shapes(model.state_dict(), {name: tuple(x.shape) for name, x in state.items()}, what, shown)
    wild = [shown.get(n, n) for n, tensor in state.items() if not float(tensor.abs().max()) <= _LARGEST]
    if wild:
        raise ModelError(f"{what}: {_first('not finite, or beyond all use', wild)}")
    model.load_state_dict(state)


def _check_kinds(state: Mapping[str, Tensor], what: str, shown: Mapping[str, str]) -> None:
    odd = [shown.get(n, n) for n, tensor in state.items() if not _is_plain(tensor)]
    if odd:
        raise ModelError(f"{what}: {_first('of an unusual kind (not plain floats)', odd)}")


def _is_plain(tensor: Tensor) -> bool:
    """Whether a tensor is dense numbers of its own, on the CPU."""
    return (
        tensor.layout == torch.strided
        and tensor.device.type == "cpu"
        and not tensor.is_quantized
        and (tensor.is_floating_point() or tensor.dtype == torch.int64)
        and tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()
        and tensor.numel() > 0
    )


def _first(fault: str, names: list[str], number: int = 8) -> str:
    more = f" and {len(names) - number} more" if len(names) > number else ""
    shown = ", ".join(" ".join(name.split())[:80] for name in names[:number])
    return f"{len(names)} {fault}: {shown}{more}" if names else ""


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
        size = regular_file(Path(path), "published checkpoint (.pth)")
        with Path(path).open("rb") as file:
            start = file.read(2)
        if start != b"PK" and not start.startswith(b"\x80"):  # neither a zip nor a pickle
            raise ModelError(f"{path} is not a torch checkpoint; give the published file (.pth)")
        if start == b"PK":
            _check_archive(Path(path), size)
        elif size > _LARGEST_PICKLE:  # of a kind before torch 1.6, which cannot be mapped
            raise ModelError(f"{path} has over {_LARGEST_PICKLE >> 20} MiB; save it again by a newer torch")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a pickle that torch finds odd: what it holds is checked here
            # mapped, so that what lies beside the values, as where they are views, takes no memory
            checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=start == b"PK")
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


def _check_archive(path: Path, size: int) -> None:
    """Refuse an archive whose parts are packed, which torch never writes: they may unpack to anything."""
    with zipfile.ZipFile(path) as archive:
        parts = archive.infolist()
        if sum(part.file_size for part in parts) > size or any(part.compress_type for part in parts):
            raise ModelError(f"{path} is a packed archive, which torch does not write; fetch it again")


def from_published(checkpoint: Any, source: str = "the checkpoint") -> FSIDFusion:
    """The network from the content of a published checkpoint; see ``import_published``."""
    blank = _blank()
    published = published_names(blank)
    ours = {theirs: name for name, theirs in published.items()}
    parts = {name.partition(".")[0] for name in ours}
    pattern = re.compile(rf"(?:^|.*\.)({'|'.join(sorted(parts))})\.(?:module\.)*(.+)")
    found = [(pattern.fullmatch(name), tensor) for name, tensor in _tensors(checkpoint)]
    state = {f"{match[1]}.{match[2]}": tensor for match, tensor in found if match}
    if not state:
        raise ModelError(
            f"{source} is not a published FSIDFusion checkpoint: it has none of {', '.join(sorted(parts))}"
        )
    state = {ours.get(name, name): x for name, x in state.items()}
    what = f"{source} does not fit FSIDFusion"
    shapes = {name: tuple(x.shape) for name, x in state.items()}
    _check_kinds(state, what, published)
    _check_shapes(blank.state_dict(), shapes, what, published)
    model = FSIDFusion()
    _load(model, state, what, published)
    return model.eval()


@cache
def _blank() -> FSIDFusion:
    """Names and shapes alone: nothing is allocated for what a file does not hold."""
    with torch.device("meta"):
        return FSIDFusion()


def to_published(model: FSIDFusion) -> dict[str, dict[str, Tensor]]:
    """The values as the published code stores them: three state dicts, names beginning with ``module.``."""
    parts: dict[str, dict[str, Tensor]] = {}
    state = model.state_dict()
    for ours, theirs in published_names(model).items():
        part, _, name = theirs.partition(".")
        parts.setdefault(part, {})[f"module.{name}"] = state[ours].contiguous()
    return parts


def _tensors(tree: Any) -> Iterator[tuple[str, Tensor]]:
    """Every tensor in nested dicts with its dotted name; one dict counts once."""
    seen: set[int] = set()
    waiting: list[tuple[str, Any, int]] = [("", tree, 0)]
    while waiting:
        prefix, branches, depth = waiting.pop()
        if not isinstance(branches, Mapping) or id(branches) in seen or depth > _DEPTH:
            continue
        seen.add(id(branches))
        for name, branch in branches.items():
            if isinstance(branch, Tensor):
                yield f"{prefix}{name}", branch
            else:
                waiting.append((f"{prefix}{name}.", branch, depth + 1))
