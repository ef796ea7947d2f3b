"""``fsidfusion train``: the two stages, from a patch cache to weights."""

import os
from pathlib import Path
from typing import Annotated, Literal

import tyro

from fsidfusion.cli.messages import say
from fsidfusion.cli.options import Machine, Minutes, OutputFolder


@tyro.conf.configure(tyro.conf.OmitArgPrefixes)
def train(
    data: Annotated[Path, tyro.conf.arg(metavar="FOLDER")],
    output: OutputFolder,
    preset: str = "light",
    set: Annotated[tuple[str, ...], tyro.conf.arg(metavar="FIELD=VALUE ...")] = (),
    resume: Literal["auto", "never"] = "auto",
    max_minutes: Minutes = None,
    machine: Machine = Machine(),
    tensorboard: bool = False,
) -> int:
    """Train a network; stop it with Ctrl-C and run the same line again to go on.

    Exit status: 0 done, 1 the time was up, 130 stopped by Ctrl-C and 143 by SIGTERM (the checkpoint is kept),
    2 nothing could be done. Several GPUs: torchrun --nproc-per-node=8 -m fsidfusion train ...

    Args:
        data: the patch cache that 'fsidfusion data prepare' made.
        output: folder of the run: configuration, log, checkpoints, validation pictures, weights, report.html.
        preset: a shipped recipe (light, light-finish, light-medical, balanced, published) or a YAML file.
        set: fields of the preset to change, such as --set batch=4 learning_rate=2e-4.
        resume: auto goes on from the newest checkpoint of the folder; never refuses a folder that has one.
        max_minutes: stop with a checkpoint after so many minutes.
        machine: where to train.
        tensorboard: also write TensorBoard's events, into the folder tensorboard of the run.
    """
    from fsidfusion.cli.training import deadline, ended, training_progress
    from fsidfusion.errors import InputError
    from fsidfusion.training.fusion import train as run_training
    from fsidfusion.training.patches import PatchCache
    from fsidfusion.training.presets import load_config

    wrong = [entry for entry in set if "=" not in entry]
    if wrong:
        raise InputError(f"`set` takes FIELD=VALUE, given {wrong[0]!r}")
    end = deadline(max_minutes)
    config = load_config(preset, dict(entry.split("=", 1) for entry in set))
    machine.set_up()
    first = int(os.environ.get("RANK", "0")) == 0
    with training_progress(quiet=not first) as (show, show_validation):
        reached = run_training(
            config,
            PatchCache(data),
            output,
            resume=resume == "auto",
            deadline=end,
            device=machine.device,
            tensorboard=tensorboard,
            on_step=show,
            on_validation=show_validation,
        )
    if first and not reached.stopped:
        say(f"weights: {reached.path}")
    status = ended(reached, said=first)
    if first:
        say(f"report: {output / 'report.html'}")
    return status
