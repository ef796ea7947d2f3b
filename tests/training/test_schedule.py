from dataclasses import replace

import pytest

from fsidfusion.errors import FusionError
from fsidfusion.training.patches import CropSampler, PatchCache
from fsidfusion.training.presets import TrainConfig, load_config
from fsidfusion.training.schedule import Steps, learning_rate, steps_of


def test_published_rates_halve_apart() -> None:
    config, plan = load_config("published"), Steps(steps_per_epoch=10, reconstruction=400, fusion=800)
    rates = [learning_rate(config, plan, 10 * epoch, "encoder") for epoch in (0, 19, 20, 40, 119)]
    assert rates == pytest.approx([1e-4, 1e-4, 5e-5, 2.5e-5, 3.125e-6])
    late = [learning_rate(config, plan, 10 * epoch, "specific_fusion") for epoch in (40, 59, 60, 119)]
    assert late == pytest.approx([1e-4, 1e-4, 5e-5, 1.25e-5])
    assert learning_rate(replace(config, halve_every=1), plan, 1199, "encoder") == 1e-6


def test_an_epoch_shows_every_training_picture(cache: PatchCache, tiny: TrainConfig) -> None:
    plan = steps_of(replace(tiny, steps_per_epoch=0), CropSampler(cache, 16, 2, 0))
    assert plan.steps == 3  # five training pictures, two a step
    with pytest.raises(FusionError, match="nothing to train"):
        steps_of(replace(tiny, fusion_epochs=0), CropSampler(cache, 16, 2, 0))


def test_a_cosine_falls_to_the_floor_in_each_stage() -> None:
    config = replace(load_config("balanced"), warmup_steps=10)
    plan = Steps(steps_per_epoch=50, reconstruction=100, fusion=200)
    rates = [learning_rate(config, plan, step, "encoder") for step in range(300)]
    assert rates[0] == pytest.approx(config.learning_rate / 10)
    assert rates[100] == rates[0]  # the warm-up of stage II
    assert max(rates) < config.learning_rate
    for end in (99, 299):
        assert rates[end] == pytest.approx(config.learning_rate_floor, rel=0.1)
