"""The overview's training: targets where people are, veils as they were laid, the rest left as it is."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from fsidfusion.errors import InputError
from fsidfusion.network.checkpoint import load_model, save_weights
from fsidfusion.network.light import MOST_COVER, LightFusion
from fsidfusion.studies.scenes.rendered_set import write_scene_set
from fsidfusion.training import overview
from fsidfusion.training.patches import PatchCache, PatchSettings, SourcePair
from fsidfusion.training.prepare import prepare


@pytest.fixture(scope="module")
def network() -> LightFusion:
    torch.manual_seed(0)
    return LightFusion(channels=4, width=4, blocks=1).eval()


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("scenes")
    list(write_scene_set(root, 2, 0, (240, 320)))
    return root


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> PatchCache:
    recipes = Path(overview.__file__).with_name("recipes")
    people = json.loads((recipes / "people.json").read_text())

    def read(height: int, width: int):  # a warm person before a bright wall
        infrared = np.full((height, width), 40, np.uint8)
        infrared[height // 3 : height // 2, width // 3 : width // 2] = 220
        return lambda: (infrared, np.full((height, width), 200, np.uint8))

    sizes = {"msrs_full": (240, 240), "msrs128": (128, 128), "roadscene": (240, 250)}
    pairs = [
        SourcePair(name, stem, "train", read(*size))
        for name, size in sizes.items()
        for stem in (next(iter(people[name])), "another")
    ]
    return prepare(pairs, tmp_path_factory.mktemp("cache") / "cache", PatchSettings(patch=0))


def test_a_mask_holds_what_is_warm_in_its_box_and_nothing_else() -> None:
    infrared = np.full((60, 60), 0.2, np.float32)
    infrared[15:45, 22:38] = 0.8
    box = (20.0, 12.0, 40.0, 48.0)
    mask = overview._by_warmth(infrared, box, [box])
    assert mask[25:35, 25:35].min() > 0.9 and mask[:10].max() == 0 and mask[20:40, :15].max() == 0
    assert overview._by_warmth(np.full((60, 60), 0.2, np.float32), box, [box]).max() == 0


def test_a_lost_target_is_raised_above_its_surroundings_and_a_clear_one_stays() -> None:
    infrared = np.full((60, 60), 0.2, np.float32)
    infrared[15:45, 22:38] = 0.6
    targets = (infrared > 0.5).astype(np.float32)
    lost = overview._levels(infrared, np.full((60, 60), 0.6, np.float32), targets)
    assert lost[30, 30] == pytest.approx(0.71, abs=0.01) and lost[5, 5] == pytest.approx(0.6)
    clear = overview._levels(infrared, infrared.copy(), targets)
    np.testing.assert_allclose(clear, infrared, atol=1e-6)


def test_crops_follow_their_step_and_know_their_veil(
    cache: PatchCache, scenes: Path, network: LightFusion
) -> None:
    found = overview.examples(cache, scenes, network)
    assert {name: len(pairs) for name, pairs in found.items()} == dict.fromkeys(overview.SHARES, 1) | {
        "scenes": 2,
        "unlabelled": 3,
    }
    batches = [overview.batch(found, 0, step) for step in (0, 0, 1, 2, 3)]
    assert torch.equal(batches[0].seen, batches[1].seen)
    assert not torch.equal(batches[0].seen, batches[2].seen)
    for crops in batches:
        undone = crops.undone.flatten() > 0
        hazed = undone & (crops.cover.amax((1, 2, 3)) > 0) & (crops.cover.amax((1, 2, 3)) < MOST_COVER)
        again = crops.visible * (1 - crops.cover) + crops.veil
        torch.testing.assert_close(again[hazed], crops.seen[hazed], atol=1e-3, rtol=0)
        assert (crops.veil[~undone] == 0).all() and (crops.cover[~undone] == 0).all()


def test_a_run_teaches_the_overview_alone(
    cache: PatchCache, scenes: Path, network: LightFusion, tmp_path: Path
) -> None:
    save_weights(tmp_path / "plain.safetensors", network)
    plain = tmp_path / "plain.safetensors"
    weights = overview.train(cache, scenes, plain, tmp_path / "run", steps=3, width=4)
    trained = load_model(weights)
    assert trained.config["overview"] == 4
    for name, value in network.state_dict().items():
        assert torch.equal(trained.state_dict()[name], value)
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3]
    again = load_model(
        overview.train(cache, scenes, weights, tmp_path / "again", steps=1, learning_rate=1e-6)
    )
    for name, value in trained.state_dict().items():  # goes on from the overview that it has
        torch.testing.assert_close(again.state_dict()[name], value, atol=1e-4, rtol=0)


def test_the_sky_is_cold_calm_and_joins_the_upper_edge() -> None:
    infrared = np.full((60, 80), 0.4, np.float32)
    infrared[:20] = 0.01
    infrared[40:55, 10:60] = 0.01  # cold ground
    sky = overview._sky(infrared)
    assert sky[4:17, 4:-4].all() and not sky[22:].any()


def test_a_cache_without_the_labelled_sets_is_refused(
    cache: PatchCache, network: LightFusion, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="scenes"):
        overview.examples(cache, tmp_path, network)
