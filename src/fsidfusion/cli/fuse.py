"""``fsidfusion fuse``: pairs of picture files, from one line."""

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from fsidfusion import DEFAULT_MODEL
from fsidfusion.cli.volumes import Volumes, fuse_volumes, names_volumes
from fsidfusion.data.pairs import Matches, Pair, Place, files_by_stem, match_pairs, open_set
from fsidfusion.errors import UserError
from fsidfusion.thermal.reading import Thermal

if TYPE_CHECKING:
    from fsidfusion.inference.folder import Outcome
    from fsidfusion.inference.fuser import Fuser

FEW_PAIRS = 4  # another runtime than torch takes a second or more to compile, which fewer do not earn

Files = Annotated[tuple[str, ...], tyro.conf.arg(metavar="FILES")]


@dataclass(frozen=True)
class Inputs:
    """Files, a folder, a glob in quotes, or a .txt list with one path a line; pairs share their stem."""

    ir: Files = ()
    """infrared pictures"""
    vis: Files = ()
    """visible pictures; their colour and transparency are kept; 'embedded' for those in FLIR's files"""
    mri: Files = ()
    """MRI pictures, with one of --ct, --pet, --spect"""
    ct: Files = ()
    """CT pictures"""
    pet: Files = ()
    """PET pictures; their colour is kept"""
    spect: Files = ()
    """SPECT pictures; their colour is kept"""
    pairs: Annotated[str | None, tyro.conf.arg(metavar="FOLDER")] = None
    """a folder that holds ir and vi (or vis), or MRI and CT, PET or SPECT, instead of two inputs"""
    recursive: bool = False
    """look into the sub-folders of input folders, and make them in the output"""

    def match(self) -> tuple[Matches, Place]:
        """The pairs, and the input whose colour is kept.

        Raises:
            UserError: not exactly two inputs that belong together, or no pairs.
        """
        modalities = ("ir", "vis", "mri", "ct", "pet", "spect")
        given = [name for name in modalities if getattr(self, name)]
        if self.pairs is not None and not given:
            found = open_set(self.pairs)
            return Matches(found.pairs, ()), found.colour
        if self.pairs is not None or given not in (
            ["ir", "vis"],
            ["mri", "ct"],
            ["mri", "pet"],
            ["mri", "spect"],
        ):
            options = (
                ", ".join(f"--{name}" for name in (*given, *(["pairs"] if self.pairs else []))) or "no input"
            )
            raise UserError(
                f"given {options}; expected --ir and --vis, or --mri and one of --ct, --pet, --spect,"
                " or --pairs alone"
            )
        if self.vis == ("embedded",):
            files = files_by_stem(self.ir, self.recursive)
            alone = len(self.ir) == 1 and files.keys() == {Path(self.ir[0]).stem}
            pairs = tuple(Pair(name, file, file) for name, file in sorted(files.items()))
            return Matches(pairs, (), many=not alone), "visible"
        if given[0] == "ir":
            return match_pairs(self.ir, self.vis, self.recursive), "visible"
        return match_pairs(getattr(self, given[1]), self.mri, self.recursive), "infrared"


@dataclass(frozen=True)
class Engine:
    """The model and how it runs."""

    model: Annotated[str, tyro.conf.arg(metavar="NAME|FILE")] = DEFAULT_MODEL
    """a shipped network ('fsidfusion models' lists them; NAME-medical, where there is one, is taken for MRI),
    a .safetensors file, or a rule to compare with: maximum, mean, laplacian, guided, wavelet"""
    range: Literal["percentile", "minmax", "none"] = "percentile"
    """output mapping: percentile stretches with a bounded gain, minmax as published, none keeps 0..1"""
    tile: Annotated[str, tyro.conf.arg(metavar="auto|off|PIXELS")] = "auto"
    """side of the tiles that a large picture is cut into; auto where it would not fit into the memory"""
    memory: Annotated[str | None, tyro.conf.arg(metavar="SIZE")] = None
    """most memory to use, such as 2GiB; by default half of what is free"""
    device: Annotated[str, tyro.conf.arg(metavar="auto|cpu|cuda|mps")] = "auto"
    """where to compute; auto takes a GPU when there is one"""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """auto takes bf16 where the device has it natively"""
    threads: int | None = None
    """threads of the CPU; by default all"""
    runtime: Literal["auto", "torch", "openvino", "onnxruntime"] = "auto"
    """what computes the network; auto is the fastest that is installed, and torch for a few pairs"""

    def name(self, medical: bool = False) -> str:
        """The model whose weights suit the pairs."""
        from fsidfusion.network.checkpoint import suited

        return suited(self.model, medical)

    def load(self, pairs: int | None = None, medical: bool = False) -> "Fuser":
        """The fuser, for so many pairs if known; UserError for what is unknown or not available."""
        from fsidfusion.inference.allocator import keep_large_blocks
        from fsidfusion.inference.fuser import Fuser

        few = self.runtime == "auto" and pairs is not None and pairs < FEW_PAIRS
        chosen = {"model": self.name(medical), "runtime": "torch" if few else self.runtime}
        fuser = Fuser(**{**asdict(self), **chosen})
        if fuser.device == "cpu":
            keep_large_blocks()
        return fuser


@tyro.conf.configure(tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes)
def fuse(
    output: Annotated[str, tyro.conf.arg(aliases=["-o"], metavar="FILE|FOLDER")],
    inputs: Inputs = Inputs(),
    engine: Engine = Engine(),
    volumes: Volumes = Volumes(),  # noqa: B008 (frozen)
    color: Literal["auto", "gray", "heat"] = "auto",
    bits: Literal["auto", "8", "16"] = "auto",
    format: Literal["png", "jpg", "bmp", "tif", "webp"] = "png",
    thermal: Thermal = Thermal(),  # noqa: B008 (frozen)
    agc_vis: Annotated[str, tyro.conf.arg(metavar="MODE")] = "off",
    temperature: Annotated[str | None, tyro.conf.arg(metavar="FILE|FOLDER")] = None,
    align: Annotated[str, tyro.conf.arg(metavar="none|auto|FILE")] = "none",
    crop: bool = False,
    resize: bool = False,
    overwrite: bool = False,
    max_megapixels: float = 500.0,
    json: bool = False,
) -> int:
    """Fuse pairs of pictures: infrared with visible, or MRI with CT, PET or SPECT.

    One pair: --ir thermal.png --vis colour.png -o fused.png

    Folders: --ir thermal/ --vis colour/ -o fused/

    Globs: --ir 'x/*_ir.png' --vis 'x/*_vis.png' -o fused/

    Medical: --mri mri.png --pet pet.png -o fused.png

    Thermal: --ir flir.jpg --vis colour.jpg --resize --temperature t.tif --highlight 35C -o fused.jpg

    Volumes: --mri t1.nii.gz --ct ct.nii.gz -o fused.nii.gz, or folders of DICOM series

    PNG, JPEG, BMP, TIFF and WebP; 8 and 16 bits; gray and colour. What exists is skipped, so that the same
    line resumes a stopped run. Exit status: 0 done, 1 some of many pairs failed, 2 nothing could be done.

    Args:
        output: the fused picture, or a folder for many.
        inputs: what to fuse.
        engine: the model and how it runs.
        volumes: for NIfTI files and DICOM series.
        color: auto keeps the colour of the visible (PET, SPECT) picture; heat warms it where infrared is hot.
        bits: of a sample in the output; auto keeps 16 where a source has them.
        format: of the files in an output folder.
        thermal: what infrared files hold: counts, temperatures, false colours.
        agc_vis: gain control of visible (MRI) pictures: off, linear, plateau, clahe, window:LOW..HIGH.
        temperature: write the infrared temperatures, on the grid of the fused picture, as float TIFF in C.
        align: auto estimates how each infrared picture lies on the visible one; FILE comes from 'align'.
        crop: cut the aligned picture to what both sources fill.
        resize: resample the infrared (CT, PET, SPECT) picture where its size differs.
        overwrite: replace outputs that exist.
        max_megapixels: larger pictures are refused before they are decoded.
        json: print one JSON object about all pairs on standard output, and no progress.
    """
    from fsidfusion.alignment.transform import read_align
    from fsidfusion.inference.folder import Options, fuse_files
    from fsidfusion.inference.outputs import output_paths

    if names_volumes(inputs):
        for_pictures = {
            "options for thermal pictures": thermal != Thermal(),
            "--agc-vis": agc_vis != "off",
            "--temperature": temperature is not None,
            "--align": align != "none",
            "--crop": crop,
            "--resize": resize,
            "--color heat": color == "heat",
        }
        unfit = [name for name, given in for_pictures.items() if given]
        return fuse_volumes(inputs, engine, volumes, output, color == "gray", bits, overwrite, json, unfit)
    start = time.perf_counter()
    try:
        if volumes != Volumes():
            raise UserError("options for volumes are given, but no volume; see 'fsidfusion fuse --help'")
        matches, place = inputs.match()
        if color == "heat" and place == "infrared":
            raise UserError("--color heat is for infrared pictures; medical pairs keep their own colours")
        paths = output_paths(matches.pairs, output, matches.many, f".{format}")
        warm = None if temperature is None else output_paths(matches.pairs, temperature, matches.many, ".tif")
        options = Options(
            place if color == "auto" else color,
            bits,
            overwrite,
            resize,
            int(max_megapixels * 1e6),
            thermal if place == "visible" else thermal.of_scan(),
            agc_vis,
            read_align(align, crop),
            crop,
        )
        options.check()
        medical = place == "infrared"
        fuser = engine.load(len(paths), medical)
        with progress(len(paths), shown=not json) as report:
            outcomes = fuse_files(fuser, matches.pairs, paths, options, report, warm or ())
    except UserError as error:
        if json:
            print(dumps({"status": 2, "error": str(error)}))
        raise
    counts = Counter(outcome.status for outcome in outcomes)
    failed = counts["failed"] + len(matches.alone)
    status = 0 if not failed else 1 if matches.many else 2
    seconds = time.perf_counter() - start
    if json:
        summary = {
            "status": status,
            "model": engine.name(medical),
            "device": fuser.device,
            "precision": fuser.precision,
            "runtime": fuser.runtime,
        }
        summary |= {
            "seconds": round(seconds, 3),
            **{name: counts[name] for name in ("fused", "skipped", "failed")},
        }
        alone = [str(path) for path in matches.alone]
        print(
            dumps({**summary, "pairs": [_entry(outcome) for outcome in outcomes], "without_partner": alone})
        )
    else:
        _summarise(outcomes, seconds, output)
    for outcome in outcomes:
        if outcome.status == "failed":
            print(f"fsidfusion fuse: failed: {outcome.message}", file=sys.stderr)
    for path in matches.alone:
        print(
            f"fsidfusion fuse: failed: {path} has no partner of the same stem; add it, or leave it out",
            file=sys.stderr,
        )
    return status


@contextmanager
def progress(total: int, shown: bool) -> Iterator[Callable[[object], None]]:
    """A bar on the terminal, if standard error is one: pairs done, pairs a second, time left."""
    if not shown or total < 2 or not sys.stderr.isatty():
        yield lambda finished: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("pairs  {task.fields[rate]:.1f}/s"),
        TimeRemainingColumn(),
    )
    start = time.perf_counter()
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=total, rate=0.0)

        def report(finished: object) -> None:
            bar.advance(task)
            rate = bar.tasks[0].completed / (time.perf_counter() - start)
            bar.update(task, rate=rate)

        yield report


def _summarise(outcomes: "Sequence[Outcome]", seconds: float, output: str) -> None:
    fused = [outcome for outcome in outcomes if outcome.status == "fused"]
    skipped = [outcome for outcome in outcomes if outcome.status == "skipped"]
    if len(outcomes) == 1 and fused:
        print(f"{fused[0].output}  {fused[0].width}x{fused[0].height}  {fused[0].seconds:.2f} s")
    elif len(outcomes) > 1:
        rate = f", {len(fused) / seconds:.1f} pairs/s" if fused else ""
        counts = f"{len(fused)} of {len(outcomes)} pairs fused into {output} in {seconds:.1f} s{rate}"
        print(f"{counts}; {len(skipped)} existed and were skipped" if skipped else counts)
    if len(outcomes) == 1 and skipped:
        print(f"{skipped[0].output} exists and was left as it is; --overwrite replaces it")
    for note, number in Counter(outcome.message for outcome in fused if outcome.message).items():
        print(f"note: {note}" + (f" ({number} pictures)" if number > 1 else ""), file=sys.stderr)


def _entry(outcome: "Outcome") -> dict[str, object]:
    return {
        "name": outcome.pair.name,
        "infrared": str(outcome.pair.infrared),
        "visible": str(outcome.pair.visible),
        "output": str(outcome.output),
        "status": outcome.status,
        "width": outcome.width,
        "height": outcome.height,
        "seconds": round(outcome.seconds, 4),
        "message": outcome.message,
    }
