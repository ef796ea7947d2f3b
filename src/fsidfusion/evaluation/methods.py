"""What can be scored: folders of fused pictures, and models that fuse in memory."""

import hashlib
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, get_args

import numpy as np

from fsidfusion.errors import InputError, is_installed
from fsidfusion.fusion.fuser import Fuser
from fsidfusion.fusion.pipeline import Fusion, Pipeline, Still
from fsidfusion.fusion.plan import Plan
from fsidfusion.fusion.rules import RULES
from fsidfusion.images.files import Picture, read_picture
from fsidfusion.images.output_range import RangeMode
from fsidfusion.images.pairs import Pair, Task, files_by_stem
from fsidfusion.images.pixels import Luma, Pixels
from fsidfusion.network.names import is_name, shipped_file, suited

SECOND_WEIGHTS = "NAME-medical are the weights with which the network NAME fuses MRI pairs: one row for both."
_WORN = {"visible": "+color", "heat": "+heat"}
_SUFFIXES = {"none": "unstretched", "percentile": "stretched", "minmax": "min-max"}


class Method(Protocol):
    """Gives one fused image of every pair for each of its rows."""

    rows: tuple[str, ...]

    def fused(self, pair: Pair, infrared: Pixels, visible: Pixels) -> list[tuple[Pixels, str]]:
        """For each row the fused image of a pair, and the sha256 of its file or of its pixels."""
        ...

    def describe(self, row: str) -> dict[str, Any]:
        """Where the images of a row come from, for the record."""
        ...


class FusedFiles:
    """Fused pictures in files, one for every pair by its name."""

    def __init__(self, place: str, pairs: Sequence[Pair], recursive: bool = False, name: str = "") -> None:
        """Find the files.

        Args:
            place: a folder, a glob, or one file for the only pair.
            pairs: their names are the stems of the fused files.
            recursive: look into sub-folders; the names then include them.
            name: of the row; the folder's own by default.

        Raises:
            InputError: nothing there, a pair without a fused file, or a fused file without a pair.
        """
        self.files = files_by_stem([place], recursive)
        if Path(place).is_file() and len(pairs) == 1:  # one pair is matched whatever the names
            self.files = {pairs[0].name: Path(place)}
        self.place = place
        self.rows: tuple[str, ...] = (name or Path(place).name,)
        names = {pair.name for pair in pairs}
        missing = sorted(names - self.files.keys())
        if missing:
            raise InputError(
                f"{place} has no fused picture for {some(missing)} ({len(missing)} of {len(names)} pairs);"
                " fuse them first"
            )
        stale = sorted(self.files.keys() - names)
        if stale:
            raise InputError(
                f"{place} holds {len(stale)} fused without a source pair: {some(stale)}; remove them"
            )

    def fused(self, pair: Pair, infrared: Pixels, visible: Pixels) -> list[tuple[Pixels, str]]:
        """The picture of a pair; see :class:`Method`."""
        path = self.files[pair.name]
        return [(read_picture(path).pixels, file_hash(path))]

    def describe(self, row: str) -> dict[str, Any]:
        """The place; see :class:`Method`."""
        return {"fused": self.place}


class Model:
    """A network or a baseline, with one row for each output range."""

    def __init__(
        self,
        model: str,
        ranges: Sequence[str] = (),
        device: str = "auto",
        precision: str = "fp32",
        runtime: str = "auto",
        colors: Sequence[str] = ("gray",),
    ) -> None:
        """Load it.

        Args:
            model: a shipped network, a .safetensors file, or a baseline.
            ranges: the output mappings to score; by default ``percentile``, and for a baseline ``none`` and
                ``percentile``.
            device: see :class:`fsidfusion.fusion.fuser.Fuser`.
            precision: see there; fp32 by default, so that scores are the same on every machine.
            runtime: see there; in fp32 all agree to the rounding of single pixels. ``auto`` is torch where it
                is installed, which the published scores were measured with.
            colors: rows for pictures in ``gray``, in the colours of the visible one (``visible``) and in
                ``heat`` colours; their luma, and so their scores, are alike, but not what is to be seen.

        Raises:
            InputError: an unknown range or colour, and all of Fuser's.
        """
        self.is_baseline = model in RULES
        self.ranges = _check_ranges(ranges) or (
            ("none", "percentile") if self.is_baseline else ("percentile",)
        )
        self.name = Path(model).stem if model.endswith(".safetensors") else model
        if runtime == "auto" and is_installed("torch"):
            runtime = "torch"
        self.fuser = Fuser(model, device=device, precision=precision, runtime=runtime)
        self.weights = None if self.is_baseline else _weights_hash(model)
        self.plans = tuple(Plan(color=color) for color in dict.fromkeys(colors))
        self.rows = tuple(
            row_name(self.name, mode, self.is_baseline) + _WORN.get(plan.color, "")
            for mode in self.ranges
            for plan in self.plans
        )
        self._turn = threading.Lock()
        self.medical: Model | None = None  # with the second weights of the network, where it has such
        if not self.is_baseline and (second := _second_weights(model)):
            self.medical = Model(second, self.ranges, device, precision, runtime, colors)
            self.medical.rows = self.rows  # one network to the user

    def suited(self, task: Task) -> "Model":
        """The model with its weights for a set: those for MRI in the medical task."""
        return self.medical if self.medical and task == "medical" else self

    def fused(self, pair: Pair, infrared: Pixels, visible: Pixels) -> list[tuple[Pixels, str]]:
        """Fuse a pair to 8 bits in every range and colour; see :class:`Method`."""
        luma = self.luma(infrared, visible)
        images = []
        for mode in self.ranges:
            for plan in self.plans:
                fusion = Fusion(Picture(infrared), Picture(visible), luma=luma, dtype=np.dtype(np.uint8))
                Pipeline(self.fuser, plan, Still(plan, mode)).finish(fusion)
                assert fusion.result is not None
                images.append(fusion.result.pixels)
        return [(image, hashlib.sha256(image.tobytes()).hexdigest()) for image in images]

    def luma(self, infrared: Pixels, visible: Pixels) -> Luma:
        """The fused luma before any output mapping; a network, which uses all cores, takes pairs in turn."""
        if self.is_baseline:
            return self.fuser.fuse_luma([infrared], [visible])[0]
        with self._turn:
            return self.fuser.fuse_luma([infrared], [visible])[0]

    def describe(self, row: str) -> dict[str, Any]:
        """Model, range and what it ran on; see :class:`Method`."""
        return {
            "model": self.name,
            "range": self.ranges[self.rows.index(row) // len(self.plans)],
            "color": self.plans[self.rows.index(row) % len(self.plans)].color,
            "weights_sha256": self.weights,
            "device": self.fuser.device,
            "precision": self.fuser.precision,
            "runtime": self.fuser.runtime,
        }


def all_weights(models: Sequence[Model]) -> list[Model]:
    """The networks among the models; those with second weights for MRI are followed by these."""
    both = [part for model in models for part in (model, model.medical)]
    return [model for model in both if model and model.weights]


def row_name(model: str, mode: RangeMode, is_baseline: bool) -> str:
    """How a model under an output range is called: by its bare name under the range that is usual for it."""
    usual = "none" if is_baseline else "percentile"
    return model if mode == usual else f"{model}, {_SUFFIXES[mode]}"


def _check_ranges(ranges: Sequence[str]) -> tuple[RangeMode, ...]:
    """The output ranges, each once. InputError for an unknown one."""
    for mode in ranges:
        if mode not in get_args(RangeMode):
            raise InputError(f"range {mode!r} is unknown; choose one of {', '.join(get_args(RangeMode))}")
    return tuple(dict.fromkeys(ranges))  # type: ignore[arg-type]


def file_hash(path: Path) -> str:
    """sha256 of a file, in hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def some(names: Sequence[str], number: int = 3) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - number} more" if len(names) > number else ""
    return ", ".join(names[:number]) + more


def _second_weights(model: str) -> str | None:
    name = suited(model, medical=True)
    return None if name == model else name


def _weights_hash(model: str) -> str:
    """The sha256 of the weights of a network, shipped or in a file."""
    return file_hash(shipped_file(model) if is_name(model) else Path(model))
