"""``fsidfusion evaluate``: the scores of fused pictures, or of models that fuse first."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from fsidfusion.cli.options import Inputs
from fsidfusion.cli.progress import progress
from fsidfusion.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fsidfusion.evaluation.labels import Labels
    from fsidfusion.images.pairs import Pair

Names = Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME")]


@tyro.conf.configure(tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes)
def evaluate(
    inputs: Inputs = Inputs(),
    set: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None,
    data: Annotated[str | None, tyro.conf.arg(metavar="FOLDER")] = None,
    fused: Annotated[tuple[str, ...], tyro.conf.arg(metavar="FOLDER")] = (),
    model: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME|FILE")] = (),
    range: Annotated[tuple[str, ...], tyro.conf.arg(metavar="percentile|minmax|none")] = (),
    metrics: Names = ("default",),
    labels: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER|FILE.json")] = None,
    classes: Names = (),
    degrade: Annotated[str, tyro.conf.arg(metavar="KIND[:STRENGTH]")] = "",
    color: Annotated[tuple[str, ...], tyro.conf.arg(metavar="gray|visible|heat")] = ("gray",),
    convention: Annotated[str, tyro.conf.arg(metavar="cddfuse|tang")] = "cddfuse",
    published: bool = False,
    csv: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None,
    json: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None,
    device: Annotated[str, tyro.conf.arg(metavar="auto|cpu|cuda|mps")] = "auto",
    precision: Annotated[str, tyro.conf.arg(metavar="auto|fp32|bf16")] = "fp32",
    runtime: Annotated[str, tyro.conf.arg(metavar="torch|openvino|onnxruntime")] = "torch",
    workers: int | None = None,
) -> int:
    """Score fused pictures against their sources, matched by stem; several are compared.

    Folders: --ir thermal/ --vis colour/ --fused mine/ other/

    Models, fused in memory to 8-bit gray: --ir thermal/ --vis colour/ --model fsidfusion-light maximum

    A set of the published tables: --set TNO --data datasets/ --model maximum --published

    A pair without a fused picture, a picture without a pair, and images of different sizes are errors:
    nothing is averaged in or out silently.

    Args:
        inputs: the sources.
        set: of the published tables, below --data, instead of sources: MSRS, TNO, RoadScene, MRI_CT, MRI_PET,
            MRI_SPECT.
        data: folder that holds the set.
        fused: folders of fused pictures; colour is scored on its luma.
        model: networks or baselines (maximum, mean, laplacian, guided, wavelet) to fuse with first.
        range: output mappings of the models; percentile by default, for baselines none and percentile.
        metrics: names, default or all.
        labels: boxes of targets (YOLO text files, or COCO JSON), of which it is told how visible they are in
            the sources and in every result: by class, day and night.
        classes: names of the classes in --labels, in order, where no classes.txt says them.
        degrade: what happens to the visible source before a model fuses it: haze, smoke, glare, dark, noise
            (or stripes, to the infrared one), with a strength up to 1; scores are against the clean sources.
        color: what the models' pictures are looked at in, for --labels; scores are of luma.
        convention: definitions of the published tables (cddfuse) or of the VIF-Benchmark toolbox (tang).
        published: print the rows of the published tables below, and how the first result stands to them.
        csv: write the scores of every pair.
        json: write scores, means, intervals, and the hashes of all files.
        device: where networks compute.
        precision: of networks; fp32 gives the same scores on every machine.
        runtime: what computes networks; others than torch are faster on a CPU.
        workers: threads that score; one for every core by default.
    """
    if (set is None) != (data is None) or (set is not None and inputs != Inputs()):
        raise InputError("a set takes --set NAME and --data FOLDER together, and no other sources")
    if published and set is None:
        raise InputError("--published needs --set, which names the table; the sets are those of --set's help")
    if published and convention != "cddfuse":
        raise InputError("the published tables are in the convention cddfuse; leave --convention out")
    if bool(fused) == bool(model) or (range and not model):
        raise InputError("give either --fused FOLDER ... or --model NAME ... (with --range, if you like)")
    from fsidfusion.evaluation.evaluate import Condition, choose_metrics, evaluate_methods, whole_pairs
    from fsidfusion.evaluation.methods import FusedFiles, Method, Model, some
    from fsidfusion.evaluation.published import published_pairs
    from fsidfusion.evaluation.sets import MEDICAL_NOTE, named_set
    from fsidfusion.evaluation.tables import (
        open_console,
        print_means,
        print_visibility,
        print_wins,
        write_csv,
        write_json,
    )
    from fsidfusion.runtime.allocator import keep_large_blocks

    chosen = choose_metrics(metrics, convention)
    if set is not None and data is not None:
        found = named_set(data, set)
        name, pairs, task = found.name, found.pairs, found.task
    else:
        matches, task = inputs.match()
        name, pairs = "", whole_pairs(matches)
    if degrade and fused:
        raise InputError("fused pictures are fused already; --degrade goes with --model")
    condition = Condition(degrade, _labels(labels, pairs, classes) if labels else None)
    names = fused if len({Path(place).name for place in fused}) < len(fused) else [""] * len(fused)
    methods: list[Method] = [FusedFiles(p, pairs, inputs.recursive, n) for p, n in zip(fused, names)]
    if model:
        keep_large_blocks()
    methods += [Model(one, range, device, precision, runtime, color).suited(task) for one in model]
    with progress(len(pairs), shown=True) as report:
        evaluations = evaluate_methods(pairs, methods, chosen, convention, workers, report, condition)
    if csv:
        write_csv(csv, evaluations)
    if json:
        write_json(json, evaluations)
    console = open_console()
    title = f"{name + ', ' if name else ''}{len(pairs)} pair{'s' * (len(pairs) > 1)}, convention {convention}"
    print_means(evaluations, title, name if published else None, console)
    if len(evaluations) > 1:
        print_wins(evaluations, console)
    if labels:
        print_visibility(evaluations, f", {degrade}" if degrade else "", console)
    for evaluation in evaluations:
        for metric, missing in evaluation.undefined.items():
            left_out = f"{evaluation.name}: {metric} is undefined on {some(missing)}"
            print(f"note: {left_out}; its mean is over {len(pairs) - len(missing)} pairs", file=sys.stderr)
    if name.startswith("MRI_"):
        print(f"note: {MEDICAL_NOTE}", file=sys.stderr)
    if published and published_pairs(name) != len(pairs):
        print(
            f"note: the published means are over {published_pairs(name)} pairs, these over {len(pairs)}",
            file=sys.stderr,
        )
    return 0


def _labels(place: Path, pairs: "Sequence[Pair]", classes: "Sequence[str]") -> "Labels":
    """The boxes of the pairs; what is wrong with them is said, and left out."""
    from fsidfusion.evaluation.labels import read_labels
    from fsidfusion.images.files import read_header

    headers = {pair.name: read_header(pair.visible) for pair in pairs}
    sizes = {name: (header.height, header.width) for name, header in headers.items()}
    labels = read_labels(place, sizes, classes)
    for bad in labels.bad[:5]:
        print(f"note: {bad}; left out", file=sys.stderr)
    if len(labels.bad) > 5:
        print(f"note: and {len(labels.bad) - 5} more labels left out", file=sys.stderr)
    if not any(len(boxes) for boxes in labels.boxes.values()):
        raise InputError(f"{place} holds no box for any of the {len(pairs)} pairs")
    return labels
