"""The report of a run, ``run/report.html``: losses, rate, scores and pictures of the held-out pairs."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from fsidfusion import __version__
from fsidfusion._signals import at_last
from fsidfusion.errors import FusionError, InputError
from fsidfusion.images.atomic import whole_file
from fsidfusion.images.files import read_picture
from fsidfusion.images.text import as_model, read_yaml
from fsidfusion.metrics import find_metric
from fsidfusion.report.page import Section, body, fill_page, heading, picture, plots, table, tile, webp
from fsidfusion.report.plots import lines
from fsidfusion.training.record import StepLine, ValidationLine, read_lines

BINS = 200  # points of a curve; each is the mean of its steps
COMMON = ("step", "stage", "seconds", "lr", "gradient_norm")  # all other fields of a line are losses
STAGES = {"reconstruct": "Stage I, reconstruction", "fuse": "Stage II, fusion"}
Line = dict[str, Any]
Curve = list[tuple[float, float]]


@contextmanager
def reported(run: Path, active: bool = True) -> Iterator[None]:
    """Write the report when the block ends, however it ends; a report that fails hides no other error."""

    def write() -> str:
        with suppress(FusionError, OSError):
            write_run_report(run)
        return ""

    if not active:
        yield
        return
    try:
        with at_last(write):
            yield
    finally:
        write()


def write_run_report(run: Path) -> Path:
    """Write ``run/report.html`` from what the run has logged so far; nothing is computed again.

    Raises:
        InputError: the folder holds no run.
    """
    path = run / "report.html"
    page = build_run_report(run)
    with whole_file(path) as file:
        file.write(page.encode())
    return path


def build_run_report(run: Path) -> str:
    """The report as HTML."""
    steps = read_lines(run / "metrics.jsonl", StepLine)
    if not steps:
        raise InputError(
            f"{run} holds no step of a run; expected metrics.jsonl that 'fsidfusion train' writes"
        )
    validations = read_lines(run / "validation.jsonl", ValidationLine)
    last = steps[-1]
    finished = (run / "weights.safetensors").exists()
    config = _config(run)
    tiles = [
        tile(
            f"{last['step']:,}", f"steps, {'finished' if finished else 'stopped'} in {STAGES[last['stage']]}"
        ),
        tile(_duration(last["seconds"]), "of training, over all sittings"),
        tile(f"{_total(last):.4g}", "loss of the last step, all terms with their weights"),
    ]
    sections = [Section("losses", "Losses", "weighted terms and their sum", _loss_plots(steps))]
    sections.append(Section("steps", "Steps", "", _step_plots(steps)))
    if validations:
        where = f"after {validations[-1]['step']:,} steps; output range {validations[-1]['range']}"
        sections.append(Section("scores", "Held-out pairs", where, _validation(validations)))
    sheets = sorted((run / "validation").glob("*.png"))
    if sheets:
        remark = f"after {int(sheets[-1].stem):,} steps: infrared, visible, fused"
        sections.append(Section("pictures", "Pictures", remark, _sheet(sheets[-1])))
    settings = table(["field", "value"], [[name, str(value)] for name, value in config.items()])
    sections.append(Section("configuration", "Configuration", "", settings))
    notes = [f"Each point of a curve is the mean of its steps, {BINS} points at most."]
    name = config.get("network", "network")
    subtitle = f"{run.resolve().name}; fsidfusion {__version__}"
    return fill_page(f"Training of {name}", subtitle, tiles, sections, notes)


def _config(run: Path) -> dict[str, Any]:
    path = run / "config.yaml"
    return as_model(read_yaml(path), dict[str, Any], str(path)) if path.exists() else {}


def _loss_plots(steps: Sequence[Line]) -> Markup:
    drawn = []
    for stage, title in STAGES.items():
        chosen = [line for line in steps if line["stage"] == stage]
        if not chosen:
            continue
        names = [name for name in chosen[-1] if name not in COMMON]
        curves = {"sum": _curve(chosen, [_total(line) for line in chosen])} if len(names) > 1 else {}
        curves |= {name: _curve(chosen, [line.get(name, math.nan) for line in chosen]) for name in names}
        drawn.append(lines(title, "step", "loss", curves))
    return plots(drawn)


def _step_plots(steps: Sequence[Line]) -> Markup:
    norms = [float(line["gradient_norm"]) for line in steps]
    highest = float(np.nanquantile(norms, 0.98))  # a few wild steps at the start would flatten all others
    return plots(
        [
            lines("Learning rate", "step", "rate", {"rate": _curve(steps, [line["lr"] for line in steps])}),
            lines(
                "Gradient norm before clipping, at most its 98th percentile",
                "step",
                "norm",
                {"norm": _curve(steps, [min(norm, highest) for norm in norms])},
            ),
        ]
    )


def _validation(validations: Sequence[Line]) -> Markup:
    means = validations[-1]["mean"]
    metrics = list(next(iter(means.values())))
    units = [f"{name} ({find_metric(name).unit})" if find_metric(name).unit else name for name in metrics]
    rows = [[name, *(f"{scores[metric]:.3f}" for metric in metrics)] for name, scores in means.items()]
    means_table = table(["mean", *units], rows)
    if len(validations) < 2:
        return means_table
    drawn = []
    for metric in metrics:
        curves = {
            name: [
                (line["step"], 100 * line["mean"][name][metric] / last[metric])
                for line in validations
                if name in line["mean"] and last[metric]
            ]
            for name, last in means.items()
        }
        drawn.append(lines(metric, "step", "% of the last", curves))
    return body(means_table, heading("Over the steps, in % of the last value"), plots(drawn))


def _curve(steps: Sequence[Line], values: Sequence[float]) -> Curve:
    """Mean position and mean value of at most ``BINS`` runs of neighbouring steps."""
    parts = np.array_split(np.arange(len(steps)), min(BINS, len(steps)))
    places, heights = np.array([line["step"] for line in steps], float), np.array(values, float)
    return [(float(places[part].mean()), float(heights[part].mean())) for part in parts]


def _total(line: Line) -> float:
    return math.fsum(value for name, value in line.items() if name not in COMMON)


def _sheet(path: Path) -> Markup:
    return picture(webp(read_picture(path).pixels), "contact sheet of held-out pairs")


def _duration(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds >= 5400 else f"{seconds / 60:.0f} min"
