"""The time of a stage II training step of the published network, ours against the plain form, in one run."""

import time
from dataclasses import dataclass
from statistics import median

import torch
from torch import nn

from fsidfusion.network.fsidfusion import FSIDFusion
from fsidfusion.runtime.allocator import keep_large_blocks
from fsidfusion.studies.speed.plain_network import PlainFSIDFusion
from fsidfusion.training import stages
from fsidfusion.training.loop import autocast, total
from fsidfusion.training.presets import Precision, TrainConfig


@dataclass(frozen=True)
class Step:
    """Seconds of one step (median) in one form, and how many times faster it is than the plain one."""

    form: str
    seconds: float
    ratio: float


def measure(
    batch: int = 8, crop: int = 128, repeats: int = 3, channels: int = 64, blocks: int = 4
) -> list[Step]:
    """Time forward, losses, backward and optimiser of stage II with the published losses, forms in turns.

    The plain form is eager fp32 with each modality encoded and each image decoded by itself.
    """
    keep_large_blocks()
    torch.manual_seed(0)
    infrared, visible = torch.rand(2, batch, 1, crop, crop)
    network = FSIDFusion(channels, blocks).train()
    joined = FSIDFusion(channels, blocks).train()
    joined = joined.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    forms: dict[str, tuple[nn.Module, Precision]] = {
        "plain, fp32, separate passes": (PlainFSIDFusion(network).train(), "fp32"),
        "ours, fp32": (joined, "fp32"),
        "ours, bf16": (joined, "bf16"),
    }
    times: dict[str, list[float]] = {form: [] for form in forms}
    for repeat in range(repeats + 1):  # the first round warms up
        for form, (model, precision) in forms.items():
            started = time.perf_counter()
            _step(model, infrared, visible, precision)
            if repeat or not repeats:
                times[form].append(time.perf_counter() - started)
    seconds = {form: median(taken) for form, taken in times.items()}
    plain = next(iter(seconds.values()))
    return [Step(form, taken, plain / taken) for form, taken in seconds.items()]


def _step(model: nn.Module, infrared: torch.Tensor, visible: torch.Tensor, precision: Precision) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.0)
    with autocast(torch.device("cpu"), precision):
        terms = stages.fuse(model, infrared, visible, TrainConfig())
    total(terms).backward()
    optimizer.step()
    model.zero_grad(set_to_none=True)


def print_steps(steps: list[Step]) -> None:
    """Print the table."""
    from rich.console import Console
    from rich.table import Table

    table = Table(
        "form", "seconds a step", "times faster", title="one stage II step of the published network"
    )
    for step in steps:
        table.add_row(step.form, f"{step.seconds:.2f}", f"{step.ratio:.2f}")
    Console().print(table)
