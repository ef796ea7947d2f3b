"""How long each stage of a run is, and the learning rate at every step."""

import math
from dataclasses import dataclass

from fsidfusion.errors import InputError
from fsidfusion.training.patches import CropSampler
from fsidfusion.training.presets import TrainConfig


@dataclass(frozen=True)
class Steps:
    """The steps of a run, from its configuration and data."""

    steps_per_epoch: int
    reconstruction: int
    fusion: int

    @property
    def steps(self) -> int:
        """All steps of both stages."""
        return self.reconstruction + self.fusion

    def stage(self, step: int) -> str:
        """``reconstruct`` (stage I) or ``fuse`` (stage II) at a step counted from 0."""
        return "reconstruct" if step < self.reconstruction else "fuse"


def steps_of(config: TrainConfig, sampler: CropSampler) -> Steps:
    """How many steps each stage has."""
    per_epoch = config.steps_per_epoch or sampler.steps_per_epoch
    plan = Steps(per_epoch, config.reconstruction_epochs * per_epoch, config.fusion_epochs * per_epoch)
    if plan.steps == 0:
        raise InputError("reconstruction_epochs and fusion_epochs are both 0; there is nothing to train")
    return plan


def learning_rate(config: TrainConfig, plan: Steps, step: int, part: str) -> float:
    """The rate of one part of the network at a step.

    ``step``: halved every ``halve_every`` epochs, from the start of the run, or for the fusion layer
    (``specific_fusion``) from the start of stage II, as published. ``cosine``: each stage falls to the floor.
    """
    in_stage = step if step < plan.reconstruction else step - plan.reconstruction
    rate = config.learning_rate
    if config.schedule == "step":
        since = in_stage if part == "specific_fusion" else step
        rate *= 0.5 ** (since // (plan.steps_per_epoch * config.halve_every))
        rate = max(rate, config.learning_rate_floor)
    else:
        length = plan.reconstruction if step < plan.reconstruction else plan.fusion
        fall = 0.5 * (1 + math.cos(math.pi * in_stage / length))
        rate = config.learning_rate_floor + (rate - config.learning_rate_floor) * fall
    return rate * min(1.0, (in_stage + 1) / config.warmup_steps) if config.warmup_steps else rate
