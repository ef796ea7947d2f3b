"""The speed table as a page, a plot and JSON."""

import json
from dataclasses import asdict
from pathlib import Path

from fsidfusion.report.plots import lines
from fsidfusion.studies.speed.networks import FRAMES, Row, Speed

HEADINGS = ("runtime", "precision", "size", "ms", "p95 ms", "pairs/s", "peak MiB", "GFLOP/s", "of peak")


def cells(speed: Speed, row: Row) -> tuple[str, ...]:
    """A row under ``HEADINGS``."""
    runtime = row.runtime if row.device == "cpu" else f"{row.runtime}, {row.device}"
    start = (runtime, row.precision, f"{row.width}x{row.height}")
    if row.note:
        return (*start, f"({row.note})", "", "", "", "", "")
    return (
        *start,
        f"{1e3 * row.seconds:.1f}",
        f"{1e3 * row.p95:.1f}",
        f"{row.pairs_per_second:.2f}",
        f"{row.memory / 2**20:.0f}",
        f"{row.gflops:.0f}",
        f"{speed.share(row):.0%}",
    )


def to_markdown(speed: Speed) -> str:
    """The whole measurement as a page."""
    machine = speed.machine
    peaks = ", ".join(f"{value:.0f} GFLOP/s in {name}" for name, value in speed.calibration.items())
    lines = [
        "## Speed",
        "",
        f"Processor {machine['processor']}, {machine['cores']} cores, {machine['threads']} threads"
        f"{', GPU ' + machine['gpu'] if 'gpu' in machine else ''};"
        f" {machine['system']}; {machine['versions']}. Written by `fsidfusion benchmark speed`.",
        "",
        "Median and 95th percentile of the passes over one pair. Each row is a process of its own; its peak",
        "memory includes all libraries (on a GPU: what it holds there). The last column is the share of what",
        f"3x3 convolutions of 64 channels reach on this machine: {peaks}.",
        "",
        "Luma: gray frames to fused luma. Frames: 8-bit gray and RGB frames in memory to the fused frame,",
        "output mapping and chroma included. `plain`: the published network written down plainly, eager, the",
        "encoder once for each source, memory as the system gives it; other rows keep large freed blocks.",
        "",
        "![Seconds a pair against its size](speed.svg)",
    ]
    for model in dict.fromkeys(row.model for row in speed.rows):
        for form in ("luma", FRAMES):
            rows = [row for row in speed.rows if (row.model, row.form) == (model, form)]
            if rows:
                lines += ["", f"### {Path(model).stem}, {form}", "", f"| {' | '.join(HEADINGS)} |"]
                lines += ["|" + "---|" * 2 + "---:|" * (len(HEADINGS) - 2)]
                lines += [f"| {' | '.join(cells(speed, row))} |" for row in rows]
    return "\n".join(lines) + "\n"


def plot(speed: Speed) -> str:
    """Seconds against the size of a pair, as an SVG element: luma, both axes logarithmic."""
    series: dict[str, list[tuple[float, float]]] = {}
    for row in speed.rows:
        if row.seconds and row.form == "luma":
            model = Path(row.model).stem.removeprefix("fsidfusion-")
            name = " ".join((model, *cells(speed, row)[:2]))
            series.setdefault(name, []).append((row.height * row.width / 1e6, row.seconds))
    return lines("Seconds a pair", "megapixels", "seconds", series, log=True)


def to_json(speed: Speed) -> str:
    """The whole measurement for programs."""
    rows = [
        {
            **asdict(row),
            "pairs_per_second": row.pairs_per_second,
            "gflops": row.gflops,
            "share": speed.share(row),
        }
        for row in speed.rows
    ]
    return json.dumps(
        {"machine": speed.machine, "calibration_gflops": speed.calibration, "rows": rows}, indent=1
    )
