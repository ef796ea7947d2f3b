"""Training configurations: one dataclass, short YAML presets, overrides by field name."""

from dataclasses import asdict, dataclass, field, fields
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, get_args

import yaml

from fsidfusion.errors import InputError

Precision = Literal["fp32", "bf16"]
Schedule = Literal["step", "cosine"]
LOSSES = ("published", "intensity", "calm", "tones", "regions", "gradient", "ssim", "edges", "information")

_AT_LEAST = {
    **dict.fromkeys(("batch", "accumulate", "halve_every", "validate_pairs"), 1),
    "crop": 16,  # the windows of the losses need so much
    **dict.fromkeys(("reconstruction_epochs", "fusion_epochs", "steps_per_epoch", "validate_every"), 0),
    **dict.fromkeys(("learning_rate", "learning_rate_floor", "warmup_steps", "weight_decay"), 0),
    **dict.fromkeys(("clip", "ema", "reconstruction_weight", "checkpoint_minutes", "seed"), 0),
}


@dataclass
class TrainConfig:
    """Everything that decides a run; stored with it as ``config.yaml``.

    Attributes:
        network: architecture to train, ``fsidfusion`` or ``fsidfusion-light``.
        network_options: constructor arguments of the network.
        init: weights to start from (a shipped name or a .safetensors file); none: from the seed.
        reconstruction_epochs: epochs of stage I.
        fusion_epochs: epochs of stage II.
        steps_per_epoch: steps of an epoch; 0: as many as show each training item once.
        batch: global batch, over all processes and accumulation passes.
        accumulate: passes whose gradients are added up to one step.
        crop: side of the training crops in pixels.
        augment: flip and turn the crops.
        min_std: redraw crops in which both images are flatter than this (grey levels).
        set_weights: relative share of each set of the cache; empty: every item equally often.
        learning_rate: at the start of a stage, after the warm-up.
        schedule: ``step`` halves the rate every ``halve_every`` epochs; ``cosine`` falls to the floor.
        halve_every: epochs between two halvings.
        learning_rate_floor: the rate never falls below it.
        warmup_steps: linear warm-up at the start of each stage.
        weight_decay: decoupled (AdamW).
        betas: Adam's moment decays.
        clip: largest gradient norm of each part of the network (each child module), 0: off.
        ema: decay of the averaged weights that validation and export use, 0: off.
        losses: weight of each stage II term of `objectives`; see `stages.fusion_losses`.
        lift: how much the dark and middle tones of the pixel-wise maximum are brightened as the target of the
            intensity terms, 1..1.33.
        corner: grey levels within which the intensity term is rounded off.
        gradient_gain: how much stronger than the stronger source the fused gradient should be.
        reconstruction_weight: weight of the stage I loss within stage II (0: not computed).
        precision: ``bf16`` autocast or ``fp32``.
        channels_last: memory format of the network.
        seed: of weights, order and crops.
        validate_every: steps between two validations, 0: only at the end.
        validate_pairs: held-out pairs of each set that are looked at, at most.
        checkpoint_minutes: minutes between two checkpoints.
    """

    network: str = "fsidfusion"
    network_options: dict[str, Any] = field(default_factory=dict)
    init: str = ""
    reconstruction_epochs: int = 40
    fusion_epochs: int = 80
    steps_per_epoch: int = 0
    batch: int = 8
    accumulate: int = 1
    crop: int = 128
    augment: bool = False
    min_std: float = 0.0
    set_weights: dict[str, float] = field(default_factory=dict)
    learning_rate: float = 1e-4
    schedule: Schedule = "step"
    halve_every: int = 20
    learning_rate_floor: float = 1e-6
    warmup_steps: int = 0
    weight_decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    clip: float = 0.01
    ema: float = 0.0
    losses: dict[str, float] = field(default_factory=lambda: {"published": 1.0})
    lift: float = 1.0
    corner: float = 4.0
    gradient_gain: float = 1.0
    reconstruction_weight: float = 1.0
    precision: Precision = "fp32"
    channels_last: bool = False
    seed: int = 0
    validate_every: int = 0
    validate_pairs: int = 20
    checkpoint_minutes: float = 5.0

    def __post_init__(self) -> None:
        self.betas = (float(self.betas[0]), float(self.betas[1]))
        for name, kind in (("precision", Precision), ("schedule", Schedule)):
            if getattr(self, name) not in get_args(kind):
                raise InputError(
                    f"{name} {getattr(self, name)!r} is unknown; choose {' or '.join(get_args(kind))}"
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
            raise InputError(f"losses names {unknown[0]!r}, which is unknown; {hint}")
        if "information" in self.losses and self.crop < 33:
            raise InputError(f"crop is {self.crop}; the information loss needs at least 33")
        if self.fusion_epochs and not self.losses:
            raise InputError("losses is empty; stage II needs at least one term, such as {published: 1.0}")

    def save(self, path: Path) -> None:
        """Write the resolved configuration as YAML."""
        path.write_text(yaml.safe_dump({**asdict(self), "betas": list(self.betas)}, sort_keys=False))


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
        try:
            text = Path(preset).read_text()
        except OSError as error:
            raise InputError(f"cannot read the configuration {preset}: {error.strerror}") from error
    elif preset in preset_names():
        text = (files("fsidfusion.training") / "recipes" / f"{preset}.yaml").read_text()
    else:
        raise InputError(
            f"preset {preset!r} does not exist; choose {', '.join(preset_names())} or give a .yaml file"
        )
    try:
        values = yaml.safe_load(text) or {}
        changes = {name: yaml.safe_load(value) for name, value in (overrides or {}).items()}
    except yaml.YAMLError as error:
        raise InputError(f"{preset}: not valid YAML ({str(error).splitlines()[0]})") from error
    if not isinstance(values, dict):
        raise InputError(f"{preset} holds {type(values).__name__}, not fields with values such as 'batch: 8'")
    types = {entry.name: entry.type for entry in fields(TrainConfig)}
    values |= changes
    for name, value in values.items():
        if name not in types:
            close = get_close_matches(name, types, 1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise InputError(f"{preset}: unknown field {name!r}{hint}")
        values[name] = _typed(name, value)
    return TrainConfig(**values)


def _typed(name: str, value: Any) -> Any:
    """``value`` as the type of the field's default; YAML reads 1e-4 as a string and 1 as an integer."""
    default = getattr(TrainConfig(), name)
    try:
        if isinstance(default, bool):
            if not isinstance(value, bool):
                raise ValueError
            return value
        if isinstance(default, int | float) and not isinstance(value, bool):
            number = float(value)
            if isinstance(default, int):
                if number != int(number):
                    raise ValueError
                return int(number)
            return number
        if isinstance(default, str) and isinstance(value, str):
            return value
        if isinstance(default, tuple) and isinstance(value, list | tuple) and len(value) == len(default):
            return tuple(float(entry) for entry in value)
        if isinstance(default, dict) and isinstance(value, dict):
            return value if name == "network_options" else {str(k): float(v) for k, v in value.items()}
    except (TypeError, ValueError):
        pass
    raise InputError(f"{name} is {value!r}; expected a {type(default).__name__} such as {default!r}")
