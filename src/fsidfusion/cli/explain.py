"""``fsidfusion explain``: what the method claims about its features, measured and drawn."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from fsidfusion import DEFAULT_MODEL
from fsidfusion.cli.messages import say, warn
from fsidfusion.cli.options import Inputs, Machine
from fsidfusion.cli.progress import progress
from fsidfusion.errors import InputError

Weights = Annotated[str | None, tyro.conf.arg(metavar="FILE")]


@dataclass(frozen=True)
class Subject:
    """Which network is looked at, how, and where the page goes."""

    output: Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="FILE.html|FOLDER")]
    """the page, or a folder for the page, figures.json and the contact sheets"""
    model: Annotated[str, tyro.conf.arg(metavar="NAME|FILE")] = DEFAULT_MODEL
    """the trained network"""
    stage_one: Weights = None
    """weights at the end of its stage I: stage-one.safetensors of its run"""
    without_regularisation: Weights = None
    """weights that were trained from the same stage I without the regularisation:
    --set init=run/stage-one.safetensors reconstruction_epochs=0 reconstruction_weight=0"""
    middle: Annotated[int, tyro.conf.arg(metavar="PIXELS")] = 256
    """side of the middle part of each picture that is looked at; 0: all of it"""
    limit: int = 12
    """look at no more than so many pairs, evenly chosen; 0: all of them"""


@tyro.conf.configure(tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes)
def explain(*, inputs: Inputs = Inputs(), subject: Subject, machine: Machine = Machine()) -> int:
    """Measure what the method claims about its features on pairs, and draw the features.

    Correlation of the shared features of both modalities before and after their interaction, correlation of
    the specific ones, and with the weights of stage I the drift since then. Exit status 1 when some of the
    pairs could not be read.

    Network: fsidfusion explain --model fsidfusion-light --ir ir/ --vis vi/ -o features.html

    Run: fsidfusion explain --model run/weights.safetensors --stage-one run/stage-one.safetensors ...

    Args:
        inputs: the pairs.
        subject: which network is looked at, how, and where the page goes.
        machine: where to compute.
    """
    middle, limit, output = subject.middle, subject.limit, subject.output
    if middle < 0 or 0 < middle < 16 or limit < 0:
        raise InputError(f"`middle` {middle}, `limit` {limit}: expected 0, or at least 16 and 1")
    if subject.without_regularisation and not subject.stage_one:
        raise InputError("`without_regularisation` needs `stage_one`, from which both have drifted")
    pairs = inputs.match()[0].pairs
    if limit and len(pairs) > limit:
        pairs = tuple(pairs[len(pairs) * i // limit] for i in range(limit))

    from fsidfusion.network.checkpoint import load_model
    from fsidfusion.runtime.device import choose_device
    from fsidfusion.studies.explain.measure import FREE, STAGE_ONE, TRAINED
    from fsidfusion.studies.explain.measure import explain as measure
    from fsidfusion.studies.explain.report import claims, write_explanation

    machine.set_up()
    given = {
        TRAINED: subject.model,
        STAGE_ONE: subject.stage_one,
        FREE: subject.without_regularisation,
    }
    weights = {name: source for name, source in given.items() if source}
    networks = {name: load_model(source, choose_device(machine.device)) for name, source in weights.items()}
    with progress("pairs", len(pairs)) as bar:
        explained, failed = measure(networks, pairs, middle, bar.step)
    try:
        written = write_explanation(explained, weights, output)
    except OSError as error:
        raise InputError(
            f"cannot write {output} ({error.strerror or error}); choose another place"
        ) from error
    for claim, measured, holds in claims(explained):
        say(f"{claim}: {measured}; {holds} pairs")
    for path in written:
        say(f"wrote {path}")
    for message in failed:
        warn(f"fsidfusion explain: failed: {message}")
    return 1 if failed else 0
