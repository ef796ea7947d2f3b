"""The inputs that a task is learned from: a single camera, both stacked, or fused pictures.

A fused input is named after its model, with ``+heat`` behind it for pictures in heat colours.

Fused pictures are made once, as files in a cache whose folder is named after the model's weights and code and
whose files are named after the content of their sources, so that nothing stale is ever read.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, overload

import numpy as np
from numpy.typing import NDArray

from fsidfusion.errors import FusionError, InputError
from fsidfusion.evaluation.methods import file_hash, some
from fsidfusion.fusion.rules import RULES
from fsidfusion.images.files import read_picture
from fsidfusion.images.pairs import Pair
from fsidfusion.images.pixels import Pixels, luma, quantise, unit
from fsidfusion.report.plots import Kind
from fsidfusion.studies.quality.scores import code_hash

if TYPE_CHECKING:
    from fsidfusion.fusion.plan import Color

Frame = NDArray[np.uint8]  # (H, W, C): 3 channels, of ``early`` 4

INFRARED, VISIBLE, EARLY = "infrared", "visible", "early"
HEAT = "+heat"
DEFAULT_BASELINES = ("maximum", "mean", "laplacian", "maximum+heat")
_RENDERING = ("images/output_range.py", "images/pixels.py")  # code that every fused picture depends on
_NETWORKS, _RULES, _COLOURS = ("network",), ("fusion/rules.py",), ("thermal/heat.py",)


@dataclass(frozen=True)
class Input:
    """One row of a comparison: what the learner gets to see."""

    name: str  # as in the tables: "visible", "fsidfusion-light+heat", "mine" for mine.safetensors
    model: str = ""  # a baseline, a shipped network or a .safetensors file; "" for the cameras themselves
    weights: str = ""  # sha256 of a network's file
    color: "Color" = "visible"  # that fused pictures carry, see Fuser.fuse

    @property
    def channels(self) -> int:
        """Of its frames: 4 of ``early`` (RGB and infrared), else 3."""
        return 4 if self.name == EARLY else 3

    @property
    def kind(self) -> Kind:
        """How reports colour it: networks, rules, the upper reference, and the cameras."""
        if self.model:
            return "ours" if self.weights else "baseline"
        return "reference" if self.name == EARLY else "published"

    @property
    def identity(self) -> dict[str, str]:
        """All that its frames depend on besides the pairs, as JSON holds it."""
        rules = (*(_NETWORKS if self.weights else _RULES), *(_COLOURS if self.color == "heat" else ()))
        code = code_hash((*_RENDERING, *rules)) if self.model else ""
        return {"name": self.name, "weights": self.weights, "code": code}


class Frames(Sequence[Frame]):
    """The frames of one input in the order of the pairs, decoded when they are asked for.

    Each is (H, W, C) uint8: fused and visible pictures in RGB (gray ones repeated), infrared as its luma
    repeated three times, ``early`` as the visible RGB and the infrared luma. Sizes may differ between pairs.
    """

    def __init__(self, given: Input, pairs: Sequence[Pair], files: Sequence[Path]) -> None:
        """Hold on to ``files``, the fused pictures of the pairs; none where the pairs are all it takes."""
        self.input, self.pairs, self.files = given, tuple(pairs), tuple(files)

    def __len__(self) -> int:
        return len(self.pairs)

    def part(self, start: int, stop: int) -> "Frames":
        """The frames of some of the pairs."""
        return Frames(self.input, self.pairs[start:stop], self.files[start:stop])

    @overload
    def __getitem__(self, index: int) -> Frame: ...

    @overload
    def __getitem__(self, index: slice) -> list[Frame]: ...

    def __getitem__(self, index: int | slice) -> Frame | list[Frame]:
        """One frame, or a list of them for a slice. InputError for a file that cannot be read."""
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        pair = self.pairs[index]
        if self.files:
            return _rgb(read_picture(self.files[index]).pixels)
        if self.input.name == INFRARED:
            return _rgb(_gray(read_picture(pair.infrared).pixels))
        visible = _rgb(read_picture(pair.visible).pixels)
        if self.input.name == VISIBLE:
            return visible
        infrared = _gray(read_picture(pair.infrared).pixels)
        if infrared.shape != visible.shape[:2]:
            raise InputError(
                f"sizes differ: {pair.infrared} is {infrared.shape[1]}x{infrared.shape[0]},"
                f" {pair.visible} is {visible.shape[1]}x{visible.shape[0]}; align them first"
            )
        return np.dstack((visible, infrared))


def open_inputs(names: Sequence[str] = ()) -> list[Input]:
    """The inputs by their names, each once.

    Args:
        names: ``infrared``, ``visible``, ``early`` (both stacked as channels: the upper reference), baselines
            (``maximum``, ...), shipped networks, .safetensors files, and any model with ``+heat`` behind it;
            by default the three, all shipped networks, the default one first and in heat colours as well,
            and some baselines.

    Raises:
        InputError: an unknown name, a file that holds no network, or two inputs of one name.
    """
    inputs = [_open_input(name) for name in dict.fromkeys(names or _default_names())]
    called = [given.name for given in inputs]
    twice = {name for name in called if called.count(name) > 1}
    if twice:
        raise InputError(f"two inputs are called {some(sorted(twice))}; rename one of the files")
    return inputs


def prepare_frames(
    given: Input,
    pairs: Sequence[Pair],
    cache: Path,
    device: str = "auto",
    progress: Callable[[object], None] = lambda outcome: None,
) -> Frames:
    """The frames of an input; fuses what the cache does not hold yet, so that a stopped call goes on.

    Networks compute in fp32 by PyTorch, so that the pictures are the same on every machine, and everything
    fused takes the default output mapping of :class:`fsidfusion.fusion.fuser.Fuser`.

    Args:
        given: the input.
        pairs: aligned pairs of one size each, with different names.
        cache: folder for the fused pictures of all inputs.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``, where a network fuses.
        progress: called once for each pair as it is found or fused, where any was missing.

    Raises:
        InputError: a pair that cannot be read or fused, a cache that cannot be written.
    """
    if not given.model:
        return Frames(given, pairs, ())
    from fsidfusion.fusion.files import fuse_pairs
    from fsidfusion.fusion.fuser import Fuser
    from fsidfusion.fusion.plan import Plan

    key = hashlib.sha256(json.dumps(given.identity, sort_keys=True).encode()).hexdigest()[:16]
    folder = cache / f"{given.name}-{key}"
    files = [folder / f"{pair.name}-{_sources_hash(pair)}.png" for pair in pairs]
    if not all(file.exists() for file in files):
        fuser = Fuser(given.model, device=device, precision="fp32", runtime="torch")
        outcomes = fuse_pairs(fuser, pairs, files, Plan(color=given.color, bits="8"), progress)
        failed = [outcome.message for outcome in outcomes if outcome.status == "failed"]
        if failed:
            raise InputError(f"{failed[0]} ({len(failed)} of {len(pairs)} pairs could not be fused)")
    return Frames(given, pairs, files)


def pairs_hash(pairs: Sequence[Pair]) -> str:
    """One sha256 of the names and source files of all pairs: the identity of the data without its labels."""
    digest = hashlib.sha256()
    for pair in pairs:
        digest.update(f"{pair.name} {_sources_hash(pair)}\n".encode())
    return digest.hexdigest()


def _default_names() -> list[str]:
    from fsidfusion.network.names import shipped_networks

    first, *others = shipped_networks()
    return [INFRARED, VISIBLE, EARLY, first, first + HEAT, *others, *DEFAULT_BASELINES]


def _open_input(name: str) -> Input:
    if name in (INFRARED, VISIBLE, EARLY):
        return Input(name)
    if name.endswith(HEAT):
        plain = _open_input(name.removesuffix(HEAT))
        if not plain.model:
            raise InputError(f"{name}: a camera alone has no heat colours; expected a model before {HEAT}")
        return replace(plain, name=plain.name + HEAT, color="heat")
    if name in RULES:
        return Input(name, name)
    from fsidfusion.network.checkpoint import load_model
    from fsidfusion.network.names import WEIGHTS

    try:
        load_model(name)
    except FusionError as error:
        if name.endswith(".safetensors"):
            raise
        known = ", ".join((INFRARED, VISIBLE, EARLY, *RULES))
        raise InputError(f"{error}; other inputs: {known}; and any model{HEAT}") from error
    path = Path(name)
    if path.suffix != ".safetensors" and not path.exists():
        return Input(name, name, file_hash(WEIGHTS / f"{name}.safetensors"))
    return Input(path.stem, name, file_hash(path))


def _sources_hash(pair: Pair) -> str:
    try:
        both = file_hash(pair.infrared) + file_hash(pair.visible)
    except OSError as error:
        raise InputError(f"cannot read {error.filename} ({error.strerror}); check the pairs") from error
    return hashlib.sha256(both.encode()).hexdigest()[:16]


def _gray(pixels: Pixels) -> NDArray[np.uint8]:
    """(H, W) 8-bit luma."""
    if pixels.ndim == 2 and pixels.dtype == np.uint8:
        return pixels
    return quantise(luma(pixels), np.dtype(np.uint8))


def _rgb(pixels: Pixels) -> Frame:
    """(H, W, 3) 8 bits, gray repeated."""
    levels = pixels if pixels.dtype == np.uint8 else quantise(unit(pixels), np.dtype(np.uint8))
    return levels if levels.ndim == 3 else np.repeat(levels[..., None], 3, axis=2)
