from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import nn

from fsidfusion.runtime.interface import Traits
from fsidfusion.runtime.torch_runtime import HIDDEN_BYTES, TorchRuntime
from stand_ins import GlobalNetwork, LocalNetwork


def images(*shape, seed=0):
    return np.random.default_rng(seed).random(shape, np.float32)


def test_arrays_go_through_the_network_as_they_are():
    network = LocalNetwork()
    infrared, visible = images(3, 16, 24), images(3, 16, 24, seed=1)
    fused = TorchRuntime(network, "cpu", "fp32")(infrared, visible)
    with torch.no_grad():
        expected = network(torch.from_numpy(infrared)[:, None], torch.from_numpy(visible)[:, None])
    np.testing.assert_allclose(fused, expected[:, 0].numpy(), atol=1e-6)
    assert fused.dtype == np.float32


def test_the_traits_of_the_network_are_kept():
    assert TorchRuntime(LocalNetwork(), "cpu").traits == Traits(2, 8, 8, False)
    assert TorchRuntime(nn.Identity(), "cpu").traits.tile_overlap is None


def test_bf16_does_not_quantise_the_picture(monkeypatch):
    monkeypatch.setattr("fsidfusion.runtime.device.has_native_bf16", lambda device: True)
    infrared, visible = images(1, 64, 64), images(1, 64, 64, seed=1)
    exact = TorchRuntime(LocalNetwork(), "cpu", "fp32")(infrared, visible)
    fused = TorchRuntime(LocalNetwork(), "cpu", "bf16")(infrared, visible)
    assert np.abs(fused - exact).max() < 0.02
    assert len(np.unique(fused)) > 3000  # of 4096 pixels: bf16 itself has 128 values between 0.5 and 1


def test_statistics_of_crops_stand_for_the_whole():
    runtime = TorchRuntime(GlobalNetwork(), "cpu", "fp32")
    infrared, visible = images(1, 32, 32), images(1, 32, 32, seed=1)
    whole = runtime(infrared, visible)
    crops = [np.concatenate([image[:, :16], image[:, 16:]]) for image in (infrared, visible)]
    statistics = runtime.record(*crops)
    for rows in (slice(0, 7), slice(7, 32)):
        tile = runtime(infrared[:, rows], visible[:, rows], statistics)
        np.testing.assert_allclose(tile, whole[:, rows], atol=1e-6)


def test_several_threads_may_share_it():
    runtime = TorchRuntime(LocalNetwork(), "cpu", "fp32")
    pairs = [(images(1, 32, 32, seed=i), images(1, 32, 32, seed=i + 50)) for i in range(16)]
    expected = [runtime(*pair) for pair in pairs]
    with ThreadPoolExecutor(4) as pool:
        for fused, known in zip(pool.map(lambda pair: runtime(*pair), pairs), expected):
            np.testing.assert_allclose(fused, known, atol=1e-6)


def test_the_memory_of_a_pass_is_foretold():
    class Known(nn.Module):
        """At its peak two tensors of 32 float32 channels are alive, beside the inputs."""

        def forward(self, infrared, visible):
            first = infrared.expand(-1, 32, -1, -1).contiguous()
            second = first + 1
            del first
            third = second + visible
            return third[:, :1]

    runtime = TorchRuntime(Known(), "cpu", "fp32")
    share = (runtime.peak_bytes(2_000_000) - runtime.peak_bytes(1_000_000)) / 1_000_000
    assert 2 * 32 * 4 <= share <= 1.5 * (2 * 32 * 4 + 8)
    assert runtime.peak_bytes(1) >= HIDDEN_BYTES


def test_lack_of_memory_has_one_name():
    class Greedy(nn.Module):
        def forward(self, infrared, visible):
            return torch.empty(1 << 60)

    with pytest.raises(MemoryError):
        TorchRuntime(Greedy(), "cpu")(images(1, 8, 8), images(1, 8, 8))
