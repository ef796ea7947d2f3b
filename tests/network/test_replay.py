"""Statistics of a whole image, recorded once and replayed for its tiles."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from fsidfusion.network import blocks
from fsidfusion.network.fsidfusion import FSIDFusion
from fsidfusion.network.statistics import Statistics
from network_reference import pair


def record(network: FSIDFusion, infrared: torch.Tensor, visible: torch.Tensor) -> Statistics:
    statistics = Statistics.record()
    network(infrared, visible, statistics)
    return statistics


def crops(image: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    """(1, 1, H, W) -> (rows * columns, 1, H / rows, W / columns)."""
    lines = image.chunk(rows, 2)
    return torch.cat([crop for line in lines for crop in line.chunk(columns, 3)])


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.no_grad():
        yield


def test_replaying_the_whole_image_changes_nothing(small) -> None:
    infrared, visible = pair(24, 32)
    statistics = record(small, infrared, visible)
    assert torch.equal(small(infrared, visible, statistics.replay()), small(infrared, visible))
    assert torch.equal(small(infrared, visible, statistics.replay()), small(infrared, visible))  # once more


def test_tiles_with_the_sums_of_the_whole_image_are_exact(small) -> None:
    infrared, visible = pair(80, 96)
    whole = small(infrared, visible)
    replay = record(small, infrared, visible).replay()
    edge = small.tile_overlap
    part = slice(10, 80), slice(20, 90)  # up to the lower border, inside elsewhere
    tile = small(infrared[:, :, *part], visible[:, :, *part], replay)
    inner = slice(10 + edge, 80), slice(20 + edge, 90 - edge)
    expected = whole[:, :, *inner]
    torch.testing.assert_close(tile[:, :, edge:, edge:-edge], expected, atol=1e-5, rtol=0)


def test_sums_of_crops_that_cover_the_image_are_near(small) -> None:
    """Convolutions meet zeros at the borders of crops: the result changes by less than two grey levels."""
    infrared, visible = pair(128, 128)
    ramp = torch.linspace(0, 1, 128)
    infrared, visible = infrared * ramp, visible * ramp.flip(0)[:, None]  # no crop is like another
    whole = small(infrared, visible)
    statistics = record(small, crops(infrared, 2, 2), crops(visible, 2, 2))
    replayed = small(infrared, visible, statistics.replay())
    assert (replayed - whole).abs().max() < 2 / 255

    def inside(image: torch.Tensor) -> torch.Tensor:
        edge = small.tile_overlap
        return image[:, :, edge:-edge, edge:-edge]

    expected = inside(crops(whole, 2, 2))
    tiles = inside(small(crops(infrared, 2, 2), crops(visible, 2, 2), statistics.replay()))
    alone = inside(small(crops(infrared, 2, 2), crops(visible, 2, 2)))
    assert (tiles - expected).abs().max() < 2 / 255
    assert (tiles - expected).abs().mean() < 0.5 * (alone - expected).abs().mean()


def test_modalities_keep_their_own_sums(small) -> None:
    """Both share the encoder's batch; crops are joined within each of them, in the order of the batch."""
    infrared, visible = pair(32, 32)
    twice = [torch.cat((image, image)) for image in (infrared, visible)]
    replay = record(small, *twice).replay()
    torch.testing.assert_close(small(*twice, replay), small(*twice), atol=1e-5, rtol=0)


def test_replays_run_in_parallel(small) -> None:
    infrared, visible = pair(24, 24)
    statistics = record(small, infrared, visible)
    expected = small(infrared, visible)

    def fuse(_: int) -> torch.Tensor:
        with torch.no_grad():
            return small(infrared, visible, statistics.replay())

    with ThreadPoolExecutor(4) as pool:
        assert all(torch.equal(fused, expected) for fused in pool.map(fuse, range(8)))


def test_a_recording_of_another_network_is_refused(small) -> None:
    infrared, visible = pair(16, 16)
    statistics = record(small, infrared, visible)
    deeper = FSIDFusion(channels=16, blocks=2).eval()
    with pytest.raises(RuntimeError, match="recorded by another network"):
        deeper(infrared, visible, statistics.replay())
    used = statistics.replay()
    small(infrared, visible, used)
    with pytest.raises(RuntimeError, match="recorded by another network"):
        small(infrared, visible, used)


def test_a_replay_measures_nothing(small, monkeypatch) -> None:
    infrared, visible = pair(16, 16)
    statistics = record(small, infrared, visible)

    def refuse(*_: object) -> None:
        raise AssertionError("measured")

    monkeypatch.setattr(blocks.ChannelAttention, "measure", refuse)
    monkeypatch.setattr(blocks.Gate, "_measure", refuse)
    with pytest.raises(AssertionError, match="measured"):
        small(infrared, visible)
    assert small(infrared, visible, statistics.replay()).isfinite().all()
