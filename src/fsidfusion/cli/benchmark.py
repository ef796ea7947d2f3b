"""``fsidfusion benchmark``: what the project measures about itself."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from fsidfusion import DEFAULT_MODEL
from fsidfusion.cli.messages import say
from fsidfusion.cli.options import Compute, Folder, Json, Models, Names, OutputFolder, Threads
from fsidfusion.cli.progress import progress
from fsidfusion.errors import InputError

if TYPE_CHECKING:
    from fsidfusion.evaluation.methods import Model
    from fsidfusion.studies.quality.scores import SetScores


@dataclass(frozen=True)
class Quality:
    """Score networks and baselines on the test sets, beside the published rows.

    Writes quality.md, quality.csv and the report quality.html, which holds all it shows, into the output
    folder. What was scored there before is kept while pictures, weights and code are the same, so the same
    line resumes a stopped run.
    """

    data: Annotated[tuple[str, ...], tyro.conf.arg(metavar="FOLDER")]
    """folders that hold the sets, at most two levels down: TNO/ir and TNO/vi, MRI_CT/CT and MRI_CT/MRI"""
    model: Models = ()
    """networks and rules; by default all that are shipped, and all rules"""
    from_card: Names = ()
    """shipped networks whose rows come from their cards, where their weights are the same: it spares hours"""
    sets: Names = ()
    """only these sets"""
    output: OutputFolder = Path("out/quality")
    """where everything is written"""
    compute: Compute = Compute()
    """where networks compute"""
    bf16: Models = ()
    """networks that compute in bf16 all the same, since fp32 would take hours on a CPU"""

    def run(self) -> None:
        """Measure and write."""
        from fsidfusion.images.atomic import write_text
        from fsidfusion.studies.quality.documents import to_csv, to_markdown
        from fsidfusion.studies.quality.gallery import build_gallery
        from fsidfusion.studies.quality.report import build_report
        from fsidfusion.studies.quality.scores import shown_models
        from fsidfusion.studies.quality.standings import print_standings, standings

        results, models = self.measure()
        gallery = build_gallery(results, shown_models(models), self.output / "pictures")
        pages = {
            "quality.md": to_markdown(results, models),
            "quality.csv": to_csv(results),
            "quality.html": build_report(results, models, gallery),
        }
        for name, text in pages.items():
            write_text(self.output / name, text)
        print_standings(standings(results))
        for name in pages:
            say(f"wrote {self.output / name}")

    def measure(self) -> "tuple[list[SetScores], list[Model]]":
        """The scores by set, and what was scored; what is kept in the output folder is not scored again."""
        from fsidfusion.evaluation.sets import published_layout
        from fsidfusion.runtime.allocator import keep_large_blocks
        from fsidfusion.studies.quality.scores import Quality as Scores
        from fsidfusion.studies.quality.scores import open_models, with_card_rows

        keep_large_blocks()
        sets = published_layout(self.data, self.sets)
        how = self.compute
        models = open_models(self.model, how.device, how.precision, how.runtime, self.bf16)
        scores = Scores(sets, models, self.output)
        with progress("pairs", scores.missing) as bar:
            return with_card_rows(scores.run(how.threads, bar.step), self.from_card), models


@dataclass(frozen=True)
class Seeing:
    """Tell how many labelled people fused pictures show, in clear air, haze and smoke, by day and night."""

    data: Annotated[Path, tyro.conf.arg(metavar="FOLDER")]
    """labelled pairs, as 'detect' takes them; its test frames are looked at"""
    model: Models = ()
    """networks and rules; by default the default network and the rules maximum, mean and laplacian"""
    output: OutputFolder = Path("out/seeing")
    """for seeing.md and seeing.json"""
    name: str = ""
    """of the data in the table; by default the folder's"""
    threads: Threads = None

    def run(self) -> None:
        """Measure and write."""
        from json import dumps

        from fsidfusion.evaluation.methods import Model
        from fsidfusion.fusion.rules import RULES
        from fsidfusion.images.atomic import write_text
        from fsidfusion.studies import seeing
        from fsidfusion.studies.downstream.detection.frames import open_detection_set

        frames = open_detection_set(self.data).test
        names = self.model or (DEFAULT_MODEL, "maximum", "mean", "laplacian")
        ranges = [("none",) if name in RULES else ("percentile",) for name in names]  # what is usual for each
        models = [Model(name, range_, colors=seeing.COLORS) for name, range_ in zip(names, ranges)]
        with progress("pairs", len(frames) * len(seeing.CONDITIONS)) as bar:
            sight = seeing.measure(frames, models, self.threads, bar.step)
        text = seeing.to_markdown(sight, models, self.name or self.data.resolve().name)
        write_text(self.output / "seeing.md", text)
        write_text(self.output / "seeing.json", dumps(asdict(sight)["shares"], indent=1) + "\n")
        print(text)


@dataclass(frozen=True)
class Witness:
    """Let a detector that never saw a fused picture look for people: in cameras and fused pictures alike.

    In clear air, haze and smoke, by day and night. No detector is shipped; an ONNX file of the output form
    of YOLOX, YOLOv5, v8, 11 or NanoDet that finds persons will do.
    """

    data: Annotated[Path, tyro.conf.arg(metavar="FOLDER")]
    """labelled pairs, as 'detect' takes them; its test frames are looked at"""
    detector: Annotated[Path, tyro.conf.arg(metavar="FILE")]
    """ONNX file"""
    detector_classes: Names = ()
    """what it finds, in order, if not the 80 classes of COCO"""
    said: Annotated[str, tyro.conf.arg(metavar="TEXT")] = ""
    """of the detector in the table: what it is and where it comes from; by default the name of the file"""
    model: Models = ()
    """networks and rules; by default the default network and the rule maximum"""
    output: OutputFolder = Path("out/witness")
    """for witness.md and witness.json"""
    name: str = ""
    """of the data in the table; by default the folder's"""

    def run(self) -> None:
        """Measure and write."""
        from json import dumps

        from fsidfusion.evaluation.methods import Model
        from fsidfusion.fusion.rules import RULES
        from fsidfusion.images.atomic import write_text
        from fsidfusion.studies import seeing, witness
        from fsidfusion.studies.downstream.detection.frames import open_detection_set
        from fsidfusion.studies.downstream.detection.onnx_detector import OnnxDetector

        frames = open_detection_set(self.data).test
        detector = OnnxDetector(self.detector, self.detector_classes)
        names = self.model or (DEFAULT_MODEL, "maximum")
        ranges = [("none",) if name in RULES else ("percentile",) for name in names]  # what is usual for each
        models = [Model(name, range_, colors=seeing.COLORS) for name, range_ in zip(names, ranges)]
        with progress("pairs", len(frames) * len(seeing.CONDITIONS)) as bar:
            testimony = witness.measure(frames, models, detector, bar.step)
        told = witness.describe(detector, self.said)
        text = witness.to_markdown(testimony, models, self.name or self.data.resolve().name, told)
        write_text(self.output / "witness.md", text)
        write_text(self.output / "witness.json", dumps(asdict(testimony)["found"], indent=1) + "\n")
        print(text)


@dataclass(frozen=True)
class Speed:
    """Time networks on this machine in every runtime, precision and size, each row in its own process.

    The published network also in its plain form. Rows that would take over 20 seconds a pass are left out.
    """

    model: Models = ()
    """networks; by default all shipped ones"""
    runtimes: tuple[Literal["torch", "openvino", "onnxruntime", "plain"], ...] = ()
    """by default all that are installed, and plain"""
    precisions: tuple[Literal["fp32", "bf16"], ...] = ("fp32", "bf16")
    """of the computation"""
    sizes: Annotated[tuple[str, ...], tyro.conf.arg(metavar="WxH")] = ()
    """of the pairs; by default 128x128, 640x480, 1920x1080 and 3840x2160"""
    quick: bool = False
    """few passes, and by default the two smaller sizes"""
    threads: Threads = None
    output: Annotated[Path | None, tyro.conf.arg(aliases=["-o"], metavar="FOLDER")] = None
    """also write speed.md and speed.svg here"""
    json: Json = False

    def run(self) -> None:
        """Measure, print and write."""
        from fsidfusion.images.atomic import write_text
        from fsidfusion.network.names import shipped_networks
        from fsidfusion.report.plots import as_file
        from fsidfusion.runtime.runtimes import installed_runtimes
        from fsidfusion.studies.speed import networks as speed
        from fsidfusion.studies.speed import page

        models = self.model or tuple(shipped_networks())
        if not models:
            raise InputError("no networks are shipped with this installation; name some with `model`")
        chosen: tuple[str, ...] = self.runtimes or (*installed_runtimes(), speed.PLAIN)
        runtimes = [name for name in speed.RUNTIMES if name in chosen]
        sizes = self.sizes or (speed.QUICK_SIZES if self.quick else speed.SIZES)
        rows = speed.plan(models, runtimes, self.precisions, [speed.parse_size(size) for size in sizes])
        budget = 0.3 if self.quick else speed.BUDGET
        with progress("rows", len(rows), shown=not self.json) as bar:
            result = speed.measure(rows, budget=budget, threads=self.threads, progress=bar.step)
        text = page.to_markdown(result)
        print(page.to_json(result) if self.json else text)
        if self.output:
            write_text(self.output / "speed.md", text)
            write_text(self.output / "speed.svg", as_file(page.plot(result)))


@dataclass(frozen=True)
class Scale:
    """Time workers of Ray against 'fuse', start-up told apart, and foretell a million pairs."""

    pairs: int = 400
    """rendered pairs of each run"""
    size: Annotated[str, tyro.conf.arg(metavar="WxH")] = "640x480"
    """of the pairs"""
    workers: tuple[int, ...] = (1, 2)
    """of one thread each; 'fuse' has as many threads"""
    model: Annotated[str, tyro.conf.arg(metavar="NAME|FILE")] = DEFAULT_MODEL
    """network or rule"""
    output: Annotated[Path | None, tyro.conf.arg(aliases=["-o"], metavar="FOLDER")] = None
    """also write scale.md here"""
    json: Json = False

    def run(self) -> None:
        """Measure, print and write."""
        from fsidfusion.fusion.cluster import Cluster
        from fsidfusion.images.atomic import write_text
        from fsidfusion.studies.speed import scale
        from fsidfusion.studies.speed.networks import parse_size

        if self.pairs < 40 or not self.workers:
            raise InputError(f"{self.pairs} pairs, workers {self.workers}: expected 40 or more, and a number")
        for number in self.workers:
            Cluster(workers=number)
        with progress("runs", 2 * len(self.workers), shown=not self.json) as bar:
            result = scale.measure(self.pairs, parse_size(self.size), self.workers, self.model, bar.step)
        text = scale.to_markdown(result)
        print(scale.to_json(result) if self.json else text)
        if self.output:
            write_text(self.output / "scale.md", text)


@dataclass(frozen=True)
class Train:
    """Time a stage II training step of the published network against its plain form, in one run."""

    batch: int = 8
    """pairs of a step"""
    patch: int = 128
    """side of the square crops, in pixels"""
    repeats: int = 3
    """the median of so many steps counts"""

    def run(self) -> None:
        """Measure and print."""
        from fsidfusion.studies.speed.training import measure, print_steps

        if min(self.batch, self.patch - 15, self.repeats) < 1:
            raise InputError(
                f"batch {self.batch}, patch {self.patch}, {self.repeats} repeats: expected 1, 16, 1 or more"
            )
        print_steps(measure(self.batch, self.patch, self.repeats))


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

    data: Folder = None
    """holds vi, ir_warp and ir: the visible picture, the warped infrared one, and the true one"""
    pairs: Folder = None
    """holds ir and vi, nearly aligned, to be warped by known maps: how well are these recovered"""
    methods: Names = ()
    """by default all"""
    scenes: int = 6
    """rendered for the known warps"""
    small_fields: Annotated[int, tyro.conf.arg(metavar="N")] = 0
    """instead, so many infrared fields of a fifth to a third of the frame, cut from rendered scenes and from
    --pairs: how many are placed, how well, and how many refused"""
    seed: int = 0
    """of where small fields lie"""
    output: Annotated[Path | None, tyro.conf.arg(aliases=["-o"], metavar="FILE")] = None
    """also write the tables here, as Markdown"""

    def run(self) -> None:
        """Measure, print and write."""
        from fsidfusion.images.atomic import write_text
        from fsidfusion.studies import alignment

        if self.small_fields > 0:
            tables = self._small_fields()
            print(tables)
            if self.output:
                write_text(self.output, f"## Small infrared fields\n\n{tables}")
            return
        cases = {}
        if self.data:
            cases[self.data.name] = alignment.misaligned_cases(self.data)
        if self.scenes > 0:
            cases["rendered scenes under known warps"] = alignment.scene_cases(self.scenes)
        if self.pairs:
            name = f"{self.pairs.name} under known warps, against the estimate without them"
            cases[name] = alignment.pair_cases(self.pairs / "ir", self.pairs / "vi")
        methods = self.methods or tuple(alignment.METHODS)
        with progress("pairs", len(methods) * sum(map(len, cases.values()))) as bar:
            results = {name: alignment.measure(some, methods, bar.step) for name, some in cases.items()}
        tables = alignment.to_markdown(results)
        print(tables)
        if self.output:
            write_text(self.output, f"## Alignment\n\n{tables}")

    def _small_fields(self) -> str:
        from fsidfusion.studies import small_fields

        number = self.small_fields
        with progress("fields", number * (2 if self.pairs else 1)) as bar:
            tables = {"rendered scenes": small_fields.measure_scenes(number, self.seed, bar.step)}
            if self.pairs:
                places = self.pairs / "ir", self.pairs / "vi"
                tables[self.pairs.name] = small_fields.measure_pairs(*places, number, self.seed, bar.step)
        return small_fields.to_markdown(tables)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Register:
    """Measure rigid registration: known motions up to 30 mm and 20 degrees of a pair that lies on each other.

    Also with a smaller field of view, on other voxels, and with the other volume as base.
    """

    base: Path
    """a volume, such as an MRI"""
    other: Path
    """another, such as a CT"""
    motions: int = 6
    """of each kind"""
    seed: int = 0
    """of the motions"""
    output: Annotated[Path | None, tyro.conf.arg(aliases=["-o"], metavar="FILE")] = None
    """also write the table here, as Markdown"""

    def run(self) -> None:
        """Measure, print and write."""
        from fsidfusion.fusion.volumes.files import read_volume
        from fsidfusion.images.atomic import write_text
        from fsidfusion.studies import registration

        cases = registration.cases(read_volume(self.base), read_volume(self.other), self.seed)
        with progress("registrations", len(cases) * (self.motions + 1)) as bar:
            errors = registration.measure(cases, self.motions, self.seed, bar.step)
        table = registration.to_markdown(errors)
        print(table)
        if self.output:
            write_text(self.output, f"## Registration\n\n{table}")


@tyro.conf.configure(tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes)
def benchmark(task: Quality | Seeing | Witness | Speed | Scale | Train | Data | Align | Register) -> None:
    """Measure quality on the test sets, speed, scale, alignment, or registration.

    Quality: fsidfusion benchmark quality --data datasets/ -o out/quality

    Speed: fsidfusion benchmark speed --quick

    Args:
        task: what to measure.
    """
    task.run()
