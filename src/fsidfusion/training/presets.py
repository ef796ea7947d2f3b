"""Training configurations: one dataclass, short YAML presets, overrides by field name."""

import io
from contextlib import redirect_stderr
from dataclasses import asdict, dataclass, field
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import tyro
import yaml

from fsidfusion.errors import InputError
from fsidfusion.images.atomic import write_text
from fsidfusion.images.budget import MAX_YAML
from fsidfusion.images.text import parse_yaml, read_text

Precision = Literal["fp32", "bf16"]
Decay = Literal["step", "cosine"]
LOSSES = ("published", "intensity", "calm", "tones", "regions", "gradient", "ssim", "edges", "information")

_AT_LEAST = {
    **dict.fromkeys(("batch", "accumulate", "halve_every", "validate_pairs"), 1),
    "crop": 16,  # the windows of the losses need so much
    **dict.fromkeys(("reconstruction_epochs", "fusion_epochs", "steps_per_epoch", "validate_every"), 0),
    **dict.fromkeys(("learning_rate", "learning_rate_floor", "warmup_steps", "weight_decay"), 0),
    **dict.fromkeys(("clip", "ema", "reconstruction_weight", "checkpoint_minutes", "seed"), 0),
}


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides a run; stored with it as ``config.yaml``."""

    network: str = "fsidfusion"
    """architecture to train, ``fsidfusion`` or ``fsidfusion-light``"""
    network_options: dict[str, int | float | bool | str] = field(default_factory=dict)
    """constructor arguments of the network"""
    init: str = ""
    """weights to start from (a shipped name or a .safetensors file); none: from the seed"""
    reconstruction_epochs: int = 40
    """epochs of stage I"""
    fusion_epochs: int = 80
    """epochs of stage II"""
    steps_per_epoch: int = 0
    """steps of an epoch; 0: as many as show each training item once"""
    batch: int = 8
    """global batch, over all processes and accumulation passes"""
    accumulate: int = 1
    """passes whose gradients are added up to one step"""
    crop: int = 128
    """side of the training crops in pixels"""
    augment: bool = False
    """flip and turn the crops"""
    min_std: float = 0.0
    """redraw crops in which both images are flatter than this (grey levels)"""
    set_weights: dict[str, float] = field(default_factory=dict)
    """relative share of each set of the cache; empty: every item equally often"""
    learning_rate: float = 1e-4
    """at the start of a stage, after the warm-up"""
    schedule: Decay = "step"
    """``step`` halves the rate every ``halve_every`` epochs; ``cosine`` falls to the floor"""
    halve_every: int = 20
    """epochs between two halvings"""
    learning_rate_floor: float = 1e-6
    """the rate never falls below it"""
    warmup_steps: int = 0
    """linear warm-up at the start of each stage"""
    weight_decay: float = 0.0
    """decoupled (AdamW)"""
    betas: tuple[float, float] = (0.9, 0.999)
    """Adam's moment decays"""
    clip: float = 0.01
    """largest gradient norm of each part of the network (each child module), 0: off"""
    ema: float = 0.0
    """decay of the averaged weights that validation and export use, 0: off"""
    losses: dict[str, float] = field(default_factory=lambda: {"published": 1.0})
    """weight of each stage II term of `objectives`; see `stages.fusion_losses`"""
    lift: float = 1.0
    """how much the dark and middle tones of the pixel-wise maximum are brightened as the target of the
    intensity terms, 1..1.33"""
    corner: float = 4.0
    """grey levels within which the intensity term is rounded off"""
    gradient_gain: float = 1.0
    """how much stronger than the stronger source the fused gradient should be"""
    reconstruction_weight: float = 1.0
    """weight of the stage I loss within stage II (0: not computed)"""
    precision: Precision = "fp32"
    """``bf16`` autocast or ``fp32``"""
    channels_last: bool = False
    """memory format of the network"""
    seed: int = 0
    """of weights, order and crops"""
    validate_every: int = 0
    """steps between two validations, 0: only at the end"""
    validate_pairs: int = 20
    """held-out pairs of each set that are looked at, at most"""
    checkpoint_minutes: float = 5.0
    """minutes between two checkpoints"""

    def __post_init__(self) -> None:
        for name, kind in (("precision", Precision), ("schedule", Decay)):
            if getattr(self, name) not in get_args(kind):
                raise InputError(
                    f"{name} {_brief(getattr(self, name))} is unknown; choose {' or '.join(get_args(kind))}"
                )
        for name, least in _AT_LEAST.items():
            if not getattr(self, name) >= least:
                raise InputError(f"{name} is {getattr(self, name)}; it must be at least {least}")
        if not self.ema < 1:
            raise InputError(f"ema is {self.ema}; it must be below 1")
        if not all(0 <= decay < 1 for decay in self.betas):
            raise InputError(f"betas is {list(self.betas)}; both must be in 0..1, below 1")
        if self.batch % self.accumulate:
            raise InputError(f"batch {self.batch} cannot be split into {self.accumulate} accumulation passes")
        unknown = [name for name in self.losses if name not in LOSSES]
        if unknown:
            close = get_close_matches(unknown[0], LOSSES, 1)
            hint = f"did you mean {close[0]}?" if close else f"choose from {', '.join(LOSSES)}"
            raise InputError(f"losses names {_brief(unknown[0])}, which is unknown; {hint}")
        if "information" in self.losses and self.crop < 33:
            raise InputError(f"crop is {self.crop}; the information loss needs at least 33")
        if self.fusion_epochs and not self.losses:
            raise InputError("losses is empty; stage II needs at least one term, such as {published: 1.0}")

    def save(self, path: Path) -> None:
        """Write the resolved configuration as YAML."""
        write_text(path, yaml.safe_dump({**asdict(self), "betas": list(self.betas)}, sort_keys=False))


def preset_names() -> list[str]:
    """The presets that ship with the package."""
    folder = files("fsidfusion.training") / "recipes"
    return sorted(Path(entry.name).stem for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def load_config(preset: str, overrides: dict[str, str] | None = None) -> TrainConfig:
    """A preset by name, or a YAML file by path, with ``field=value`` overrides (values read as YAML).

    Raises:
        InputError: for an unknown preset or field, or a value of the wrong type.
    """
    if preset.endswith((".yaml", ".yml")):
        text = read_text(Path(preset), "configuration", MAX_YAML)
    elif preset in preset_names():
        text = (files("fsidfusion.training") / "recipes" / f"{preset}.yaml").read_text()
    else:
        raise InputError(
            f"preset {preset!r} does not exist; choose {', '.join(preset_names())} or give a .yaml file"
        )
    values = parse_yaml(text, preset, "configuration") or {}
    changes = {name: parse_yaml(value, name, "value") for name, value in (overrides or {}).items()}
    if not isinstance(values, dict):
        raise InputError(f"{preset} holds {type(values).__name__}, not fields with values such as 'batch: 8'")
    values |= changes
    types = get_type_hints(TrainConfig)
    for name, value in values.items():
        if name not in types:
            close = get_close_matches(str(name)[:80], types, 1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise InputError(f"{preset}: unknown field {_brief(name)}{hint}")
        values[name] = _typed(name, types[name], value)
    return TrainConfig(**values)


def _typed(name: str, kind: Any, value: Any) -> Any:
    """``value`` as YAML gives it (1e-4 is a string there, 1 an integer) in the type of the field, by tyro."""
    words: list[Any]
    if isinstance(value, dict):
        words = [word for entry in value.items() for word in entry]
    else:
        words = list(value) if isinstance(value, list | tuple) else [value]
    if get_origin(kind) is Literal:
        kind = str  # TrainConfig itself tells which there are
    try:
        with redirect_stderr(io.StringIO()):
            return tyro.cli(kind, args=[str(word) for word in words], console_outputs=False)
    except SystemExit:
        example, called = getattr(TrainConfig(), name), kind if get_args(kind) else kind.__name__
        raise InputError(f"{name} is {_brief(value)}; expected {called} such as {example!r}") from None


def _brief(value: Any) -> str:
    """A wrong value as a message shows it."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:79]}…"
