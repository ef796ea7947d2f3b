"""Runtimes agree with torch in fp32, and the choice among them is measured once."""

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from fsidfusion.errors import FusionError
from fsidfusion.fusion.fuser import Fuser
from fsidfusion.images.pixels import luma
from fsidfusion.network.checkpoint import WEIGHTS, load_model, save_weights
from fsidfusion.network.light import LightFusion
from fsidfusion.runtime import runtimes
from fsidfusion.runtime.runtimes import CompiledRuntime, fastest_runtime, installed_runtimes, load_runtime
from fsidfusion.runtime.torch_runtime import TorchRuntime
from fsidfusion.studies.scenes import render_scene
from stand_ins import LocalNetwork

OTHERS = ("openvino", "onnxruntime")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "fsidfusion" / "runtimes.json"


@pytest.fixture(scope="module")
def light():
    """The shipped light network, or one whose change of the maximum is as large."""
    if (WEIGHTS / "fsidfusion-light.safetensors").exists():
        return load_model("fsidfusion-light")
    torch.manual_seed(3)
    network = LightFusion().eval()
    torch.nn.init.normal_(network.output.weight, std=0.05)
    return network


@pytest.fixture(scope="module")
def pair():
    scene = render_scene(3, (160, 216), time_of_day="night")
    return luma(scene.infrared)[None], luma(scene.visible)[None]


@pytest.mark.parametrize("name", OTHERS)
def test_fp32_is_that_of_torch(name, light, pair):
    pytest.importorskip(name)
    runtime = CompiledRuntime(light, name, "fp32")
    assert runtime.precision == "fp32"
    for image in (slice(None), slice(0, 64)):  # sizes and batches are free
        batch = [np.concatenate((one[:, image], one[:, image] * 0.5)) for one in pair]
        exact = TorchRuntime(light, "cpu", "fp32")(*batch)
        np.testing.assert_allclose(runtime(*batch), exact, atol=1e-5)


@pytest.mark.parametrize("name", ["torch", "openvino"])
def test_bf16_stays_within_two_grey_levels(name, light, monkeypatch):
    """Also after memory was used again: OpenVINO must not share weights that torch frees."""
    pytest.importorskip(name)
    monkeypatch.setattr("fsidfusion.runtime.device.has_native_bf16", lambda device: True)
    exact = TorchRuntime(light, "cpu", "fp32")
    runtime = TorchRuntime(light, "cpu", "bf16") if name == "torch" else CompiledRuntime(light, name, "bf16")
    assert runtime.precision == "bf16"
    for seed, time_of_day in ((3, "night"), (4, "day"), (5, "dusk")):
        scene = render_scene(seed, (160, 216), time_of_day=time_of_day)
        pair = luma(scene.infrared)[None], luma(scene.visible)[None]
        difference = 255 * np.abs(runtime(*pair) - exact(*pair))
        assert difference.max() < 2
        assert difference.mean() < 0.25


def test_bf16_that_is_not_faithful_gives_way_to_fp32(light, monkeypatch):
    pytest.importorskip("openvino")
    monkeypatch.setattr(CompiledRuntime, "_compile", lambda self: lambda infrared, visible: visible)
    monkeypatch.setattr("fsidfusion.runtime.device.has_native_bf16", lambda device: True)
    monkeypatch.setattr(CompiledRuntime, "_difference", lambda self: 3 / 255)
    assert CompiledRuntime(light, "openvino", "auto").precision == "fp32"
    with pytest.raises(FusionError, match=r"3\.0 grey levels"):
        CompiledRuntime(light, "openvino", "bf16")


@pytest.mark.parametrize("name", OTHERS)
def test_several_threads_may_share_a_runtime(name, light):
    pytest.importorskip(name)
    runtime = CompiledRuntime(light, name, "fp32")
    random = np.random.default_rng(0)
    pairs = [random.random((2, 1, 32, 32 + 2 * (i % 3)), np.float32) for i in range(12)]
    expected = [runtime(*pair) for pair in pairs]
    with ThreadPoolExecutor(4) as pool:
        for found, known in zip(pool.map(lambda pair: runtime(*pair), pairs), expected):
            np.testing.assert_array_equal(found, known)


def test_tiles_fuse_as_the_whole(light):
    pytest.importorskip("onnxruntime")
    infrared, visible = np.random.default_rng(0).integers(0, 256, (2, 200, 150), np.uint8)
    options = {"device": "cpu", "precision": "fp32", "range": "none", "runtime": "onnxruntime"}
    whole = Fuser(light, tile="off", **options).fuse_luma([infrared], [visible])[0]
    tiled = Fuser(light, tile=96, **options).fuse_luma([infrared], [visible])[0]
    np.testing.assert_allclose(tiled, whole, atol=1e-4)


def test_the_fastest_is_measured_once(light, cache, monkeypatch):
    monkeypatch.setattr(runtimes, "installed_runtimes", lambda: ["torch", "onnxruntime"])
    pytest.importorskip("onnxruntime")
    times = {"torch": 2.0, "onnxruntime": 1.0}
    measured = []

    def seconds(candidates):
        measured.extend(runtime.name for runtime in candidates)
        return {runtime.name: times[runtime.name] for runtime in candidates}

    monkeypatch.setattr(runtimes, "_seconds", seconds)
    assert fastest_runtime(light) == "onnxruntime"
    times["torch"] = 0.5  # the cache does not look again
    assert fastest_runtime(light) == "onnxruntime"
    assert measured == ["torch", "onnxruntime"]
    assert list(json.loads(cache.read_text()).values()) == ["onnxruntime"]
    assert fastest_runtime(light, "fp32") == "torch"  # another question


@pytest.mark.parametrize("content", ["", "[1]", "{broken", '{"key": 3}'])
def test_an_unreadable_cache_is_ignored(content, light, cache, monkeypatch):
    cache.parent.mkdir()
    cache.write_text(content)
    monkeypatch.setattr(runtimes, "installed_runtimes", lambda: ["torch", "openvino"])
    monkeypatch.setattr(runtimes, "CompiledRuntime", lambda *_: 1 / 0)  # a runtime that fails is not taken
    assert fastest_runtime(light) == "torch"
    assert list(json.loads(cache.read_text()).values()) == ["torch"]


def test_a_cache_that_cannot_be_written_is_done_without(light, cache, monkeypatch):
    cache.parent.write_text("a file where the folder should be")
    monkeypatch.setattr(runtimes, "installed_runtimes", lambda: ["torch", "openvino"])
    monkeypatch.setattr(runtimes, "CompiledRuntime", lambda *_: 1 / 0)
    assert fastest_runtime(light) == "torch"


def test_a_network_that_is_given_stays_in_torch(cache, tmp_path):
    assert Fuser(LocalNetwork(), device="cpu").runtime == "torch"
    assert not cache.exists()
    save_weights(tmp_path / "light.safetensors", LightFusion())
    assert Fuser(tmp_path / "light.safetensors", device="cpu", runtime="torch").runtime == "torch"
    assert not cache.exists()


@pytest.mark.parametrize(
    "options, words",
    [
        ({"runtime": "tensorrt"}, "tensorrt' is unknown; choose one of auto, torch"),
        ({"runtime": "onnxruntime", "precision": "bf16"}, "computes in fp32"),
    ],
)
def test_wrong_choices_are_said(options, words, monkeypatch):
    monkeypatch.setattr("fsidfusion.runtime.device.has_native_bf16", lambda device: True)
    with pytest.raises(FusionError, match=words):
        load_runtime(LocalNetwork(), device="cpu", **options)


def test_a_missing_package_names_the_extra(monkeypatch):
    monkeypatch.setattr(runtimes, "find_spec", lambda name: None if name == "openvino" else object())
    assert "openvino" not in installed_runtimes()
    with pytest.raises(FusionError, match=r"pip install 'fsidfusion\[openvino\]'"):
        load_runtime(LocalNetwork(), "openvino", "cpu")
