"""``fsidfusion train``: the two stages, from a patch cache to weights."""

import os
import sys
from pathlib import Path
from typing import Annotated, Literal

import tyro


def train(
    data: Path,
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])],
    preset: str = "light",
    set: Annotated[tuple[str, ...], tyro.conf.arg(metavar="FIELD=VALUE ...")] = (),
    resume: Literal["auto", "never"] = "auto",
    max_minutes: float | None = None,
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
    threads: int = 0,
) -> int:
    """Train a network; stop it with Ctrl-C and run the same line again to go on.

    Args:
        data: the patch cache that 'fsidfusion data prepare' made.
        output: folder of the run: configuration, log, checkpoints, validation pictures, weights.
        preset: a shipped recipe (light, light-finish, balanced, published) or a YAML file.
        set: fields of the preset to change, such as --set batch=4 learning_rate=2e-4.
        resume: auto goes on from the newest checkpoint of the folder; never refuses a folder that has one.
        max_minutes: stop with a checkpoint after so many minutes.
        device: where to train; auto takes a GPU when there is one. Several: torchrun -m fsidfusion train ...
        threads: CPU threads, 0: as torch chooses.
    """
    import torch

    from fsidfusion.data.patches import PatchCache
    from fsidfusion.errors import UserError
    from fsidfusion.training.loop import Progress
    from fsidfusion.training.loop import train as run_training
    from fsidfusion.training.presets import load_config

    wrong = [entry for entry in set if "=" not in entry]
    if wrong:
        raise UserError(f"--set takes FIELD=VALUE, given {wrong[0]!r}")
    config = load_config(preset, dict(entry.split("=", 1) for entry in set))
    if threads:
        torch.set_num_threads(threads)
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    every = 20 if sys.stderr.isatty() else 500

    def show(progress: Progress) -> None:
        if progress.step % every and progress.step != progress.steps:
            return
        losses = "  ".join(f"{name} {value:.4f}" for name, value in progress.losses.items())
        left = f"{progress.seconds_left / 60:.0f} min left"
        speed = f"{progress.pairs_per_second:.0f} pairs/s"
        line = f"{progress.stage} {progress.step}/{progress.steps}  {losses}  {speed}  {left}"
        print(line, file=sys.stderr, end="\x1b[K\r" if sys.stderr.isatty() else "\n", flush=True)

    reached = run_training(
        config,
        PatchCache(data),
        output,
        resume=resume == "auto",
        max_minutes=max_minutes,
        device=device,
        on_step=show,
    )
    if int(os.environ.get("RANK", "0")) == 0:
        print(f"weights: {reached}" if reached.suffix else f"stopped at {reached}; run again to go on")
    return 0
