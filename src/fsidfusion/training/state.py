"""A run on disk: everything that a resumed run needs, in files below 16 MiB, written whole or not at all.

A run folder holds ``config.yaml``, ``metrics.jsonl``, ``checkpoints/STEP/`` (the last two), and at the end
``weights.safetensors``. Each checkpoint is a folder of safetensors files (weights, ema, first and second
moments) and ``state.json`` with the position.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from fsidfusion.errors import InputError

KEEP = 2
MAX_BYTES = 15 << 20


@dataclass
class Position:
    """Where a run stands: finished steps, and the seconds it has taken over all its sittings."""

    step: int = 0
    seconds: float = 0.0


def save_checkpoint(
    run: Path,
    position: Position,
    network: nn.Module,
    ema: Mapping[str, Tensor],
    optimizer: torch.optim.Optimizer,
) -> Path:
    """Write ``run/checkpoints/STEP`` under a temporary name, rename it, and drop all but the last two.

    A full disk leaves the earlier checkpoints as they were and raises InputError.
    """
    folder = run / "checkpoints" / f"{position.step:08d}"
    partial = folder.with_name(folder.name + ".partial")
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    moments: dict[str, dict[str, Tensor]] = {"first": {}, "second": {}}
    counts = {}
    for parameter, state in optimizer.state.items():
        name = names[id(parameter)]
        moments["first"][name], moments["second"][name] = state["exp_avg"], state["exp_avg_sq"]
        counts[name] = int(state["step"])
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        for kind, tensors in {"weights": network.state_dict(), "ema": dict(ema), **moments}.items():
            for part, chunk in enumerate(_chunks(tensors)):
                save_file(chunk, partial / f"{kind}-{part}.safetensors")
        state_text = json.dumps({"step": position.step, "seconds": position.seconds, "counts": counts})
        (partial / "state.json").write_text(state_text)
        shutil.rmtree(folder, ignore_errors=True)
        partial.replace(folder)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise InputError(
            f"cannot write the checkpoint {folder} ({error}); the earlier ones are untouched: "
            "make room and run again with --resume auto"
        ) from error
    for old in checkpoints(run)[:-KEEP]:
        shutil.rmtree(old, ignore_errors=True)
    return folder


def load_checkpoint(
    folder: Path, network: nn.Module, ema: dict[str, Tensor], optimizer: torch.optim.Optimizer
) -> Position:
    """Put a checkpoint into network, averaged weights and optimiser, in place.

    Raises:
        InputError: when it is damaged or belongs to another network.
    """
    try:
        state = json.loads((folder / "state.json").read_text())
        tensors = {kind: _gather(folder, kind) for kind in ("weights", "ema", "first", "second")}
        network.load_state_dict(tensors["weights"])
        if set(tensors["ema"]) != set(ema):
            raise KeyError("averaged weights of another run")
        for name, value in tensors["ema"].items():
            ema[name].copy_(value)
        for name, parameter in network.named_parameters():
            if name in state["counts"]:
                optimizer.state[parameter] = {
                    "step": torch.tensor(float(state["counts"][name])),
                    "exp_avg": tensors["first"][name].to(parameter),
                    "exp_avg_sq": tensors["second"][name].to(parameter),
                }
        return Position(int(state["step"]), float(state["seconds"]))
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"the checkpoint {folder} cannot be resumed ({reason}); it is damaged or of another network: "
            "start anew in another folder, or remove it to go on from the one before"
        ) from error


def checkpoints(run: Path) -> list[Path]:
    """The finished checkpoints of a run, oldest first."""
    folder = run / "checkpoints"
    return sorted(p for p in folder.glob("*") if p.name.isdigit()) if folder.is_dir() else []


def _chunks(tensors: Mapping[str, Tensor]) -> list[dict[str, Tensor]]:
    """Split by size, so that no file outgrows ``MAX_BYTES`` unless a single tensor does."""
    parts: list[dict[str, Tensor]] = [{}]
    size = 0
    for name, tensor in tensors.items():
        stored = tensor.detach().cpu().contiguous()
        if parts[-1] and size + stored.nbytes > MAX_BYTES:
            parts.append({})
            size = 0
        parts[-1][name] = stored
        size += stored.nbytes
    return [part for part in parts if part]


def _gather(folder: Path, kind: str) -> dict[str, Tensor]:
    gathered: dict[str, Tensor] = {}
    for file in sorted(folder.glob(f"{kind}-*.safetensors")):
        gathered |= load_file(file)
    return gathered
