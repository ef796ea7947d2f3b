"""``fsidfusion benchmark``: what the project measures about itself."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from fsidfusion.cli.progress import progress
from fsidfusion.errors import InputError


@dataclass(frozen=True)
class Quality:
    """Score networks and baselines on the test sets, beside the published rows.

    Writes quality.md, quality.csv and the report quality.html, which holds all it shows, into the output
    folder. What was scored there before is kept while pictures, weights and code are the same, so the same
    line resumes a stopped run.
    """

    data: Annotated[tuple[str, ...], tyro.conf.arg(metavar="FOLDER")]
    """folders that hold the sets, at most two levels down: TNO/ir and TNO/vi, MRI_CT/CT and MRI_CT/MRI"""
    models: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME|FILE")] = ()
    """networks and baselines; by default all shipped networks and all baselines"""
    from_card: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME")] = ()
    """shipped networks whose rows come from their cards, where their weights are the same: it spares hours"""
    sets: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME")] = ()
    """only these sets"""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="FOLDER")] = Path("out/quality")
    """where everything is written"""
    write_docs: bool = False
    """also write docs/results.md, the README's table and the model cards of this checkout"""
    device: Annotated[str, tyro.conf.arg(metavar="auto|cpu|cuda|mps")] = "auto"
    """where networks compute"""
    precision: Annotated[str, tyro.conf.arg(metavar="auto|fp32|bf16")] = "fp32"
    """of networks; fp32 gives the same scores on every machine"""
    bf16: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME|FILE")] = ()
    """networks that compute in bf16 all the same, since fp32 would take hours on a CPU"""
    runtime: Annotated[str, tyro.conf.arg(metavar="torch|openvino|onnxruntime")] = "torch"
    """what computes networks; others than torch are faster on a CPU"""
    workers: int | None = None
    """threads that score; one for every core by default"""

    def run(self) -> None:
        """Measure and write."""
        from fsidfusion.evaluation.sets import published_layout
        from fsidfusion.images.atomic import write_text
        from fsidfusion.runtime.allocator import keep_large_blocks
        from fsidfusion.studies.pages import CHECKOUT
        from fsidfusion.studies.quality.documents import check_docs, to_csv, to_markdown, write_docs
        from fsidfusion.studies.quality.gallery import build_gallery
        from fsidfusion.studies.quality.report import build_report
        from fsidfusion.studies.quality.scores import Quality as Run
        from fsidfusion.studies.quality.scores import open_models, shown_models, with_card_rows
        from fsidfusion.studies.quality.standings import print_standings, standings

        keep_large_blocks()
        sets = published_layout(self.data, self.sets)
        models = open_models(self.models, self.device, self.precision, self.runtime, self.bf16)
        if self.write_docs:
            check_docs(CHECKOUT, sets, models, self.from_card)
        run = Run(sets, models, self.output)
        with progress(run.missing, shown=True) as report:
            results = with_card_rows(run.run(self.workers, report), self.from_card)
        gallery = build_gallery(results, shown_models(models), self.output / "pictures")
        pages = {
            "quality.md": to_markdown(results, models),
            "quality.csv": to_csv(results),
            "quality.html": build_report(results, models, gallery),
        }
        for name, text in pages.items():
            write_text(self.output / name, text)
        print_standings(standings(results))
        written = [self.output / name for name in pages]
        written += write_docs(CHECKOUT, results, models) if self.write_docs else []
        print("\n".join(f"wrote {path}" for path in written))


@dataclass(frozen=True)
class Seeing:
    """Tell how many labelled people fused pictures show, in clear air, haze and smoke, by day and night."""

    data: Annotated[Path, tyro.conf.arg(metavar="FOLDER")]
    """labelled pairs, as 'detect' takes them; its test frames are looked at"""
    models: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME|FILE")] = ()
    """networks and rules; by default the default network and the rules maximum, mean and laplacian"""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="FOLDER")] = Path("out/seeing")
    """for seeing.md and seeing.json"""
    name: str = ""
    """of the data in the table; by default the folder's"""
    workers: int | None = None
    """threads; one for every core by default"""
    write_docs: bool = False
    """also write the part of docs/results.md of this checkout that tells of people"""

    def run(self) -> None:
        """Measure and write."""
        from json import dumps

        from fsidfusion import DEFAULT_MODEL
        from fsidfusion.evaluation.methods import Model
        from fsidfusion.fusion.rules import RULES
        from fsidfusion.images.atomic import write_text
        from fsidfusion.studies import seeing
        from fsidfusion.studies.downstream.detection.frames import open_detection_set
        from fsidfusion.studies.pages import RESULTS, read_part, write_part

        if self.write_docs:
            read_part(RESULTS, "seeing")
        frames = open_detection_set(self.data).test
        names = self.models or (DEFAULT_MODEL, "maximum", "mean", "laplacian")
        ranges = [("none",) if name in RULES else ("percentile",) for name in names]  # what is usual for each
        models = [Model(name, range_, colors=seeing.COLORS) for name, range_ in zip(names, ranges)]
        with progress(len(frames) * len(seeing.CONDITIONS), shown=True) as report:
            sight = seeing.measure(frames, models, self.workers, report)
        text = seeing.to_markdown(sight, models, self.name or self.data.resolve().name)
        write_text(self.output / "seeing.md", text)
        write_text(self.output / "seeing.json", dumps(sight.record(), indent=1) + "\n")
        if self.write_docs:
            write_part(RESULTS, "seeing", text)
        print(text)


@dataclass(frozen=True)
class Metrics:
    """Time every metric on one rendered triple, against its formula written down plainly."""

    height: int = 480
    """of the images, in pixels"""
    width: int = 640
    """of the images, in pixels"""
    repeats: int = 5
    """the best of so many runs counts"""
    naive: bool = True
    """also time the plain formulas"""

    def run(self) -> None:
        """Measure and print."""
        from fsidfusion.studies.speed.metrics import measure, print_speed

        if min(self.height, self.width, self.repeats) < 1:
            raise InputError(
                f"{self.width}x{self.height} pixels, {self.repeats} repeats: expected 1 or more of each"
            )
        print_speed(measure(self.height, self.width, self.repeats, self.naive))


@dataclass(frozen=True)
class Speed:
    """Time networks on this machine in every runtime, precision and size, each row in its own process.

    The published network also in its plain form. Rows that would take over 20 seconds a pass are left out.
    """

    models: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME|FILE")] = ()
    """networks; by default all shipped ones"""
    runtimes: tuple[Literal["torch", "openvino", "onnxruntime", "plain"], ...] = ()
    """by default all that are installed, and plain"""
    precisions: tuple[Literal["fp32", "bf16"], ...] = ("fp32", "bf16")
    """of the computation"""
    sizes: Annotated[tuple[str, ...], tyro.conf.arg(metavar="WxH")] = ()
    """of the pairs; by default 128x128, 640x480, 1920x1080 and 3840x2160"""
    quick: bool = False
    """few passes, and by default the two smaller sizes"""
    threads: int | None = None
    """threads of the CPU; by default all"""
    json: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """also write everything as JSON"""
    write_docs: bool = False
    """also write the part of docs/results.md of this checkout that tells of speed"""

    def run(self) -> None:
        """Measure, print and write."""
        from fsidfusion.images.atomic import write_text
        from fsidfusion.network.checkpoint import shipped_networks
        from fsidfusion.report.plots import as_file
        from fsidfusion.runtime.runtimes import installed_runtimes
        from fsidfusion.studies.pages import RESULTS, read_part, write_part
        from fsidfusion.studies.speed import networks as speed
        from fsidfusion.studies.speed import page as speed_page

        models = self.models or tuple(shipped_networks())
        if not models:
            raise InputError("no networks are shipped with this installation; name some with --models")
        chosen: tuple[str, ...] = self.runtimes or (*installed_runtimes(), speed.PLAIN)
        runtimes = [name for name in speed.RUNTIMES if name in chosen]
        sizes = self.sizes or (speed.QUICK_SIZES if self.quick else speed.SIZES)
        if self.write_docs:
            read_part(RESULTS, "speed")
        rows = speed.plan(models, runtimes, self.precisions, [speed.parse_size(size) for size in sizes])
        budget = 0.3 if self.quick else speed.BUDGET
        with progress(len(rows), shown=True) as report:
            result = speed.measure(rows, budget=budget, threads=self.threads, report=report)
        page = speed_page.to_markdown(result)
        print(page)
        if self.json:
            write_text(self.json, speed_page.to_json(result))
        if self.write_docs:
            write_text(RESULTS.with_name("speed.svg"), as_file(speed_page.plot(result)))
            write_part(RESULTS, "speed", page)


@dataclass(frozen=True)
class Train:
    """Time a stage II training step of the published network against its plain form, in one run."""

    batch: int = 8
    """pairs of a step"""
    crop: int = 128
    """side of the square crops, in pixels"""
    repeats: int = 3
    """the median of so many steps counts"""

    def run(self) -> None:
        """Measure and print."""
        from fsidfusion.studies.speed.training import measure, print_steps

        if min(self.batch, self.crop - 15, self.repeats) < 1:
            raise InputError(
                f"batch {self.batch}, crop {self.crop}, {self.repeats} repeats: expected at least 1, 16 and 1"
            )
        print_steps(measure(self.batch, self.crop, self.repeats))


@dataclass(frozen=True)
class Data:
    """Time drawing training crops from the patch cache against decoding pictures each time, in one run."""

    scenes: int = 24
    """rendered scenes of 640x480 to draw from"""
    batch: int = 8
    """pairs of a batch"""
    repeats: int = 20
    """the median of so many batches counts"""

    def run(self) -> None:
        """Measure and print."""
        from fsidfusion.studies.speed.patches import measure, print_readings

        if min(self.scenes, self.batch, self.repeats) < 1:
            raise InputError(
                f"{self.scenes} scenes, batch {self.batch}, {self.repeats} repeats: expected 1 or more each"
            )
        print_readings(measure(self.scenes, batch=self.batch, repeats=self.repeats))


@dataclass(frozen=True)
class Align:
    """Measure alignment on pairs with a known truth: rendered scenes under known warps, and real pairs."""

    data: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None
    """holds vi, ir_warp and ir: the visible picture, the warped infrared one, and the true one"""
    pairs: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None
    """holds ir and vi, nearly aligned, to be warped by known maps: how well are these recovered"""
    methods: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME")] = ()
    """by default all"""
    scenes: int = 6
    """rendered for the known warps"""
    write_docs: bool = False
    """also write the tables into docs/results.md of this checkout"""

    def run(self) -> None:
        """Measure, print and write."""
        from fsidfusion.studies import alignment
        from fsidfusion.studies.pages import RESULTS, read_part, write_part

        if self.write_docs:
            read_part(RESULTS, "alignment")  # before measuring, whether it can be written
        cases = {}
        if self.data:
            cases[self.data.name] = alignment.misaligned_cases(self.data)
        if self.scenes > 0:
            cases["rendered scenes under known warps"] = alignment.scene_cases(self.scenes)
        if self.pairs:
            name = f"{self.pairs.name} under known warps, against the estimate without them"
            cases[name] = alignment.pair_cases(self.pairs / "ir", self.pairs / "vi")
        methods = self.methods or tuple(alignment.METHODS)
        with progress(len(methods) * sum(map(len, cases.values())), shown=True) as report:
            results = {name: alignment.measure(some, methods, report) for name, some in cases.items()}
        tables = alignment.to_markdown(results)
        print(tables)
        if self.write_docs:
            write_part(RESULTS, "alignment", f"## Alignment\n\n{tables}")


@tyro.conf.configure(tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes)
def benchmark(task: Quality | Seeing | Metrics | Speed | Train | Data | Align) -> None:
    """Measure quality on the test sets, speed, or alignment.

    Quality: fsidfusion benchmark quality --data datasets/ -o out/quality

    Speed: fsidfusion benchmark speed --quick

    Args:
        task: what to measure.
    """
    task.run()
