"""``fsidfusion explain``: what the method claims about its features, measured and drawn."""

import sys
from pathlib import Path
from typing import Annotated

import tyro

from fsidfusion import DEFAULT_MODEL
from fsidfusion.cli.options import Inputs
from fsidfusion.cli.progress import progress
from fsidfusion.errors import InputError

Weights = Annotated[str | None, tyro.conf.arg(metavar="FILE")]


@tyro.conf.configure(tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes)
def explain(
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="FILE.html|FOLDER")],
    inputs: Inputs = Inputs(),
    model: Annotated[str, tyro.conf.arg(metavar="NAME|FILE")] = DEFAULT_MODEL,
    stage_one: Weights = None,
    without_regularisation: Weights = None,
    size: int = 256,
    limit: int = 12,
    device: Annotated[str, tyro.conf.arg(metavar="auto|cpu|cuda|mps")] = "auto",
) -> int:
    """Measure what the method claims about its features on pairs, and draw the features.

    Correlation of the shared features of both modalities before and after their interaction, correlation of
    the specific ones, and with the weights of stage I the drift since then. Exit status 1 when some of the
    pairs could not be read.

    Network: fsidfusion explain --model fsidfusion-light --ir ir/ --vis vi/ -o features.html

    Run: fsidfusion explain --model run/weights.safetensors --stage-one run/stage-one.safetensors ...

    Args:
        output: the page, or a folder for the page, figures.json and the contact sheets.
        inputs: the pairs.
        model: the trained network.
        stage_one: weights at the end of its stage I: stage-one.safetensors of its run.
        without_regularisation: weights that were trained from the same stage I without the regularisation:
            --set init=run/stage-one.safetensors reconstruction_epochs=0 reconstruction_weight=0.
        size: side of the middle part of each picture that is looked at; 0: all of it.
        limit: look at no more than so many pairs, evenly chosen; 0: all of them.
        device: where to compute.
    """
    if size < 0 or 0 < size < 16 or limit < 0:
        raise InputError(f"size {size}, limit {limit}: expected 0, or at least 16 and 1")
    if without_regularisation and not stage_one:
        raise InputError("--without-regularisation needs --stage-one, from which both have drifted")
    pairs = inputs.match()[0].pairs
    if limit and len(pairs) > limit:
        pairs = tuple(pairs[len(pairs) * i // limit] for i in range(limit))

    from fsidfusion.network.checkpoint import load_model
    from fsidfusion.runtime.allocator import keep_large_blocks
    from fsidfusion.runtime.device import choose_device
    from fsidfusion.studies.explain.measure import FREE, STAGE_ONE, TRAINED
    from fsidfusion.studies.explain.measure import explain as measure
    from fsidfusion.studies.explain.report import claims, write_explanation

    keep_large_blocks()
    given = {TRAINED: model, STAGE_ONE: stage_one, FREE: without_regularisation}
    weights = {name: source for name, source in given.items() if source}
    networks = {name: load_model(source, choose_device(device)) for name, source in weights.items()}
    with progress(len(pairs), shown=True) as report:
        explained, failed = measure(networks, pairs, size, report)
    try:
        written = write_explanation(explained, weights, output)
    except OSError as error:
        raise InputError(
            f"cannot write {output} ({error.strerror or error}); choose another place"
        ) from error
    for claim, measured, holds in claims(explained):
        print(f"{claim}: {measured}; {holds} pairs")
    print("\n".join(f"wrote {path}" for path in written))
    for message in failed:
        print(f"fsidfusion explain: failed: {message}", file=sys.stderr)
    return 1 if failed else 0
