"""``fsidfusion evaluate``: the scores of fused pictures, or of models that fuse first."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from fsidfusion.cli.messages import print_json, warn
from fsidfusion.cli.options import Compute, File, Inputs, Json, Models, Names
from fsidfusion.cli.progress import progress
from fsidfusion.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fsidfusion.evaluation.labels import Labels
    from fsidfusion.images.pairs import Pair


@dataclass(frozen=True)
class Scored:
    """What is scored: fused pictures, or what models make of the inputs."""

    fused: Annotated[tuple[str, ...], tyro.conf.arg(metavar="FOLDER")] = ()
    """folders of fused pictures; colour is scored on its luma"""
    model: Models = ()
    """networks or rules (maximum, mean, laplacian, guided, wavelet) to fuse with first"""
    range: Annotated[tuple[str, ...], tyro.conf.arg(metavar="percentile|minmax|none")] = ()
    """output ranges of the models; percentile by default, for rules none and percentile"""
    degrade: Annotated[str, tyro.conf.arg(metavar="KIND[:STRENGTH]")] = ""
    """what happens to the visible source before a model fuses it: haze, smoke, glare, dark, noise (or
    stripes, to the infrared one), with a strength up to 1; scores are against the clean sources"""
    color: Annotated[tuple[str, ...], tyro.conf.arg(metavar="gray|visible|heat")] = ("gray",)
    """what the models' pictures are looked at in, for --labels; scores are of luma"""


@dataclass(frozen=True)
class Sets:
    """A set of the published tables, instead of inputs."""

    data: Annotated[str | None, tyro.conf.arg(metavar="FOLDER")] = None
    """folder that holds the set"""
    test_set: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """below --data: MSRS, TNO, RoadScene, MRI_CT, MRI_PET, MRI_SPECT"""
    published: bool = False
    """print the rows of the published tables below, and how the first result stands to them"""


@dataclass(frozen=True)
class Told:
    """What is measured, and where it goes."""

    metrics: Names = ("default",)
    """names, default or all"""
    convention: Annotated[str, tyro.conf.arg(metavar="cddfuse|tang")] = "cddfuse"
    """definitions of the published tables (cddfuse) or of the VIF-Benchmark toolbox (tang)"""
    labels: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER|FILE.json")] = None
    """boxes of targets (YOLO text files, or COCO JSON), of which it is told how visible they are in the
    sources and in every result: by class, day and night"""
    classes: Names = ()
    """names of the classes in --labels, in order, where no classes.txt says them"""
    csv: File = None
    """write the scores of every pair"""
    json: Json = False


@tyro.conf.configure(tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes)
def evaluate(
    inputs: Inputs = Inputs(),
    sets: Sets = Sets(),
    scored: Scored = Scored(),
    output: Told = Told(),
    compute: Compute = Compute(),
) -> int:
    """Score fused pictures against their sources, matched by stem; several are compared.

    Folders: --ir thermal/ --vis colour/ --fused mine/ other/

    Models, fused in memory to 8-bit gray: --ir thermal/ --vis colour/ --model fsidfusion-light maximum

    A set of the published tables: --data datasets/ --test-set TNO --model maximum --published

    A pair without a fused picture and a picture without a pair are errors, and a pair that cannot be read or
    scored is named and left out of all means (exit status 1): nothing is averaged in or out silently.

    Args:
        inputs: the sources.
        sets: of the published tables.
        scored: fused pictures, or models.
        output: what is measured, and where it goes.
        compute: where networks compute.
    """
    fused, model, published, convention = scored.fused, scored.model, sets.published, output.convention
    if (sets.test_set is None) != (sets.data is None) or (sets.data is not None and inputs != Inputs()):
        raise InputError("a set takes `test_set` NAME and `data` FOLDER together, and no other sources")
    if published and sets.test_set is None:
        raise InputError("`published` needs `test_set`, which names the table")
    if published and convention != "cddfuse":
        raise InputError("the published tables are in the convention cddfuse; leave `convention` out")
    if bool(fused) == bool(model) or (scored.range and not model):
        raise InputError("give either `fused` FOLDER ... or `model` NAME ... (with `range`, if you like)")
    from fsidfusion.evaluation.evaluate import Condition, choose_metrics, evaluate_methods, whole_pairs
    from fsidfusion.evaluation.methods import FusedFiles, Method, Model, some
    from fsidfusion.evaluation.published import published_pairs
    from fsidfusion.evaluation.sets import MEDICAL_NOTE, named_set
    from fsidfusion.evaluation.tables import (
        as_json,
        open_console,
        print_means,
        print_visibility,
        print_wins,
        write_csv,
    )
    from fsidfusion.runtime.allocator import keep_large_blocks

    chosen = choose_metrics(output.metrics, convention)
    if sets.test_set is not None and sets.data is not None:
        found = named_set(sets.data, sets.test_set)
        name, pairs, task = found.name, found.pairs, found.task
    else:
        matches, task = inputs.match()
        name, pairs = "", whole_pairs(matches)
    if scored.degrade and fused:
        raise InputError("fused pictures are fused already; `degrade` goes with `model`")
    condition = Condition(
        scored.degrade, _labels(output.labels, pairs, output.classes) if output.labels else None
    )
    names = fused if len({Path(place).name for place in fused}) < len(fused) else [""] * len(fused)
    methods: list[Method] = [FusedFiles(p, pairs, inputs.recursive, n) for p, n in zip(fused, names)]
    if model:
        keep_large_blocks()
    how = (scored.range, compute.device, compute.precision, compute.runtime, scored.color)
    methods += [Model(one, *how).suited(task) for one in model]
    failed: dict[str, str] = {}
    with progress("pairs", len(pairs), shown=not output.json) as bar:
        evaluations = evaluate_methods(
            pairs,
            methods,
            chosen,
            convention,
            compute.threads,
            bar.step,
            condition,
            lambda pair, why: failed.update({pair.name: why}),
        )
    pairs = tuple(pair for pair in pairs if pair.name not in failed)
    if output.csv:
        write_csv(output.csv, evaluations)
    if output.json:
        print_json({**as_json(evaluations), **({"failed": failed} if failed else {})})
    else:
        console = open_console()
        title = (
            f"{name + ', ' if name else ''}{len(pairs)} pair{'s' * (len(pairs) > 1)}, convention {convention}"
        )
        print_means(evaluations, title, name if published else None, console)
        if len(evaluations) > 1:
            print_wins(evaluations, console)
        if output.labels:
            print_visibility(evaluations, f", {scored.degrade}" if scored.degrade else "", console)
    for why in failed.values():
        warn(f"failed: {why}")
    if failed:
        warn(f"note: {len(failed)} of {len(pairs) + len(failed)} pairs are left out of every mean")
    for evaluation in evaluations:
        for metric, missing in evaluation.undefined.items():
            left_out = f"{evaluation.name}: {metric} is undefined on {some(missing)}"
            warn(f"note: {left_out}; its mean is over {len(pairs) - len(missing)} pairs")
    if name.startswith("MRI_"):
        warn(f"note: {MEDICAL_NOTE}")
    if published and published_pairs(name) != len(pairs):
        warn(f"note: the published means are over {published_pairs(name)} pairs, these over {len(pairs)}")
    return 1 if failed else 0


def _labels(place: Path, pairs: "Sequence[Pair]", classes: "Sequence[str]") -> "Labels":
    """The boxes of the pairs; what is wrong with them is said, and left out."""
    from fsidfusion.evaluation.labels import read_labels
    from fsidfusion.images.files import read_header

    headers = {pair.name: read_header(pair.visible) for pair in pairs}
    sizes = {name: (header.height, header.width) for name, header in headers.items()}
    labels = read_labels(place, sizes, classes)
    for bad in labels.bad[:5]:
        warn(f"note: {bad}; left out")
    if len(labels.bad) > 5:
        warn(f"note: and {len(labels.bad) - 5} more labels left out")
    if not any(len(boxes) for boxes in labels.boxes.values()):
        raise InputError(f"{place} holds no box for any of the {len(pairs)} pairs")
    return labels
