"""The options that several commands share, each defined once: inputs, the model and how it runs, volumes."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from fsidfusion import DEFAULT_MODEL
from fsidfusion.errors import InputError
from fsidfusion.images.pairs import Matches, Pair, Task, files_by_stem, match_pairs
from fsidfusion.images.sets import open_set
from fsidfusion.images.storage import is_address

if TYPE_CHECKING:
    from fsidfusion.fusion.fuser import Fuser

# What --help leaves out and --advanced-help shows, of all commands.
SELDOM = frozenset(
    (
        *("recursive", "tile", "memory", "precision", "threads", "runtime"),  # how it runs
        *("bits", "agc_vis", "max_megapixels", "palette", "unit", "ir_crop", "ir_rotate", "ir_flip"),
        *("axis", "series", "frame", "base_window", "transform", "keep_patient"),
        *("ir_fps", "vis_fps", "ir_times", "vis_times", "ir_stream", "vis_stream", "vis_crop"),
        *("max_age", "timeout", "crf", "quality", "max_width", "workers", "failures", "max_failures"),
        *("field", "method", "ir_fov", "vis_fov", "shift", "distance"),  # of alignments
        *("convention", "cache", "bad_labels", "tensorboard", "percentiles", "min_contrast"),
        *("weight_decay", "warmup", "dice", "rare", "average", "box_weight"),  # of learners
    )
)

Files = Annotated[tuple[str, ...], tyro.conf.arg(metavar="FILES")]
Names = Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME")]
Models = Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME|FILE")]
File = Annotated[Path | None, tyro.conf.arg(metavar="FILE")]
Folder = Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")]
OutputFile = Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="FILE")]
OutputFolder = Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="FOLDER")]
Device = Annotated[
    str,
    tyro.conf.arg(
        metavar="auto|cpu|cuda|cuda:N|mps", help="where to compute; auto takes a GPU when there is one"
    ),
]
Precision = Annotated[
    Literal["auto", "fp32", "bf16"],
    tyro.conf.arg(help="of networks; auto takes bf16 where the device has it natively"),
]
Runtime = Annotated[
    Literal["auto", "torch", "openvino", "onnxruntime"],
    tyro.conf.arg(
        help="what computes networks; auto is openvino where it is installed, else onnxruntime, and torch for"
        " the published network and on a GPU"
    ),
]
Threads = Annotated[int | None, tyro.conf.arg(metavar="N", help="threads of the CPU; by default all")]
Overwrite = Annotated[bool, tyro.conf.arg(help="replace outputs that exist")]
Json = Annotated[bool, tyro.conf.arg(help="print one JSON object on standard output, and nothing else")]
Minutes = Annotated[float | None, tyro.conf.arg(metavar="MINUTES")]
Size = Annotated[tuple[int, int], tyro.conf.arg(metavar="HEIGHT WIDTH")]


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

    def match(self) -> tuple[Matches, Task]:
        """The pairs on disks, and what kind they are.

        Raises:
            InputError: not exactly two inputs that belong together, no pairs, or files in a store.
        """
        matches, task = self.match_anywhere()
        for pair in matches.pairs:
            for place in (pair.infrared, pair.visible):
                if is_address(place):
                    raise InputError(f"{place} is in a store, which 'fuse' alone reads; copy the files first")
        return matches, task

    def match_anywhere(self) -> tuple[Matches, Task]:
        """As :meth:`match`, also in stores."""
        modalities = ("ir", "vis", "mri", "ct", "pet", "spect")
        given = [name for name in modalities if getattr(self, name)]
        if self.pairs is not None and not given:
            found = open_set(self.pairs)
            return Matches(found.pairs, found.alone, nearest=found.nearest), found.task
        if self.pairs is not None or given not in (
            ["ir", "vis"],
            ["mri", "ct"],
            ["mri", "pet"],
            ["mri", "spect"],
        ):
            options = (
                ", ".join(f"--{name}" for name in (*given, *(["pairs"] if self.pairs else []))) or "no input"
            )
            raise InputError(
                f"given {options}; expected --ir and --vis, or --mri and one of --ct, --pet, --spect,"
                " or --pairs alone"
            )
        if self.vis == ("embedded",):
            files = files_by_stem(self.ir, self.recursive)
            alone = len(self.ir) == 1 and files.keys() == {Path(self.ir[0]).stem}
            pairs = tuple(Pair(name, file, file) for name, file in sorted(files.items()))
            return Matches(pairs, (), many=not alone), "thermal"
        if given[0] == "ir":
            return match_pairs(self.ir, self.vis, self.recursive), "thermal"
        return match_pairs(getattr(self, given[1]), self.mri, self.recursive), "medical"


@dataclass(frozen=True)
class Many:
    """For very many pairs; inputs and outputs may be addresses of stores, such as s3://bucket/folder."""

    manifest: Annotated[str | None, tyro.conf.arg(metavar="FILE")] = None
    """instead of inputs, a .csv or .parquet table: columns infrared and visible, or mri and ct, pet or spect,
    and output for names below the output folder"""
    on: Annotated[str | None, tyro.conf.arg(metavar="ray|ray://HOST:PORT")] = None
    """fuse by workers of Ray, on this machine or on a cluster that runs"""
    workers: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """of Ray, each with a model and --threads CPUs (1); by default as many as fit"""
    failures: Annotated[str | None, tyro.conf.arg(metavar="FILE")] = None
    """write the pairs that failed and why, as .parquet or .csv, which is a manifest to try them again"""
    max_failures: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """stop when more pairs than that have failed"""


@dataclass(frozen=True)
class Run:
    """The model and how it runs."""

    model: Annotated[str, tyro.conf.arg(metavar="NAME|FILE")] = DEFAULT_MODEL
    """a shipped network ('fsidfusion models' lists them; NAME-medical, where there is one, is taken for MRI),
    a .safetensors file, or a rule to compare with: maximum, mean, laplacian, guided, wavelet"""
    range: Literal["percentile", "minmax", "none"] = "percentile"
    """output range: percentile stretches with a bounded gain, minmax as published, none keeps 0..1"""
    emphasis: Literal["targets", "natural"] = "targets"
    """targets sets off what only infrared shows, people above all; natural leaves it to the fusion"""
    tile: Annotated[str, tyro.conf.arg(metavar="auto|off|PIXELS")] = "auto"
    """side of the tiles that a large picture is cut into; auto where it would not fit into the memory"""
    memory: Annotated[str | None, tyro.conf.arg(metavar="SIZE")] = None
    """most memory to use, such as 2GiB; by default half of what is free, less for large pictures"""
    device: Device = "auto"
    precision: Precision = "auto"
    threads: Threads = None
    runtime: Runtime = "auto"

    def name(self, task: Task = "thermal") -> str:
        """The model whose weights suit the pairs."""
        from fsidfusion.network.names import suited

        return suited(self.model, task == "medical")

    def load(self, task: Task = "thermal", pairs: int | None = None) -> "Fuser":
        """The fuser, for so many pairs if known; InputError for what is unknown or not available."""
        from fsidfusion.fusion.fuser import Fuser
        from fsidfusion.runtime.allocator import give_back_at_once, keep_large_blocks

        is_light = self.model != "fsidfusion"  # the published network reuses its memory within a pass
        if pairs == 1 and is_light:
            give_back_at_once()
        fuser = Fuser(**{**asdict(self), "task": task})
        if fuser.device == "cpu" and not (pairs == 1 and is_light):
            keep_large_blocks()
        return fuser


@dataclass(frozen=True)
class Compute:
    """Where networks compute, for measuring: fp32 gives the same scores on every machine, to the rounding of
    single pixels between runtimes; auto is torch where it is installed."""

    device: Device = "auto"
    precision: Precision = "fp32"
    threads: Threads = None
    runtime: Runtime = "auto"


@dataclass(frozen=True)
class Machine:
    """Where it runs."""

    device: Device = "auto"
    threads: Threads = None

    def set_up(self) -> None:
        """Prepare the process for a training. InputError for threads that cannot compute."""
        import torch

        from fsidfusion.runtime.allocator import keep_large_blocks
        from fsidfusion.runtime.device import check_threads

        keep_large_blocks()
        if (threads := check_threads(self.threads)) is not None:
            torch.set_num_threads(threads)


@dataclass(frozen=True)
class Output:
    """Where the fused picture goes."""

    output: Annotated[str, tyro.conf.arg(aliases=["-o"], metavar="FILE|FOLDER")]
    """the fused picture, or a folder for many"""
    format: Literal["png", "jpg", "bmp", "tif", "webp"] = "png"
    """of the files in an output folder"""
    bits: Literal["auto", "8", "16"] = "auto"
    """of a sample in the output; auto keeps 16 where a source has them"""
    quality: int = 95
    """of JPEG, 1 to 100"""
    max_width: Annotated[int | None, tyro.conf.arg(metavar="PIXELS")] = None
    """scale wider visible pictures down, and the fused ones with them"""
    overwrite: Overwrite = False
    json: Json = False


@dataclass(frozen=True)
class Placement:
    """How infrared (CT, PET, SPECT) pictures come to lie on the others."""

    align: Annotated[str, tyro.conf.arg(metavar="none|auto|FILE")] = "none"
    """auto estimates how each infrared picture lies on the visible one; FILE comes from 'align'"""
    crop: bool = False
    """cut the aligned picture to what both sources fill"""
    resize: bool = False
    """resample the infrared (CT, PET, SPECT) picture where its size differs"""


@dataclass(frozen=True)
class Volumes:
    """For two of --mri, --ct, --pet, --spect, --dose as volume files or folders of a DICOM series."""

    studies: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None
    """instead of inputs, a folder that holds one for each patient: all pairs of an MRI or CT with another
    modality, each with a report, and one page of all; what exists is skipped"""
    dose: Annotated[str | None, tyro.conf.arg(metavar="FILE")] = None
    """a dose (RTDOSE or a volume in Gy), shown as PET is"""
    label: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """a label map, or structures (RTSTRUCT), whose outlines are drawn into the result"""
    axis: Literal["auto", "axial", "coronal", "sagittal"] = "auto"
    """of the slices that go through the model; auto is that of the largest spacing, as they were acquired"""
    window: Annotated[str | None, tyro.conf.arg(metavar="LOW..HIGH|brain|bone|W,L")] = None
    """of the other volume, in its unit (--window=-100..300 where it begins below 0); by default bone for a CT
    in Hounsfield units, 0 to the peak for PET, SPECT and dose, percentiles otherwise"""
    base_window: Annotated[str | None, tyro.conf.arg(metavar="LOW..HIGH|brain|bone|W,L")] = None
    """of the volume whose grid the result has, likewise"""
    colormap: Literal["hot", "rainbow", "viridis", "plasma", "inferno", "magma", "gray"] | None = None
    """of PET, SPECT or dose; by default hot"""
    style: Literal["fused", "overlay"] = "fused"
    """overlay lays the other on the MRI or CT by its own values, without a network"""
    register: Annotated[str | None, tyro.conf.arg(metavar="rigid|FILE.tfm")] = None
    """move the other volume onto the first: rigid finds how, a file says how; by default it stays"""
    transform: Annotated[Path | None, tyro.conf.arg(metavar="FILE.tfm")] = None
    """where --register writes what it found, to be used again"""
    series: Annotated[tuple[str, ...], tyro.conf.arg(metavar="UID")] = ()
    """to take from folders of several series: a UID, its ending or number; two: first, other"""
    frame: Annotated[tuple[str, ...], tyro.conf.arg(metavar="N|mean")] = ()
    """to take from a 4-D volume, counted from 1; two: first, other"""
    keep_patient: bool = False
    """write patient and study of the first volume into a DICOM output"""
    views: Annotated[Path | None, tyro.conf.arg(metavar="FILE.png")] = None
    """also write a picture of three planes"""
    report: Annotated[Path | None, tyro.conf.arg(metavar="FILE.html")] = None
    """also write a page: to scroll through the slices, or to sort thermal pictures by temperature"""
