"""Runtimes agree with torch in fp32, and a rule chooses among them."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from fsidfusion.errors import FusionError
from fsidfusion.fusion.fuser import Fuser
from fsidfusion.images.pixels import luma
from fsidfusion.network.checkpoint import load_model, save_weights
from fsidfusion.network.light import LightFusion
from fsidfusion.network.names import WEIGHTS
from fsidfusion.runtime import runtimes
from fsidfusion.runtime.compiled import CompiledRuntime
from fsidfusion.runtime.export import EmphasisForm, onnx_bytes
from fsidfusion.runtime.interface import Traits
from fsidfusion.runtime.onnx_model import OnnxModel
from fsidfusion.runtime.runtimes import chosen_runtime, installed_runtimes, load_runtime, onnx_model
from fsidfusion.runtime.torch_runtime import TorchRuntime
from fsidfusion.studies.scenes import render_scene
from stand_ins import LocalNetwork

OTHERS = ("openvino", "onnxruntime")


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
    scene = render_scene(3, (160, 208), time_of_day="night")
    return luma(scene.infrared)[None], luma(scene.visible)[None]


@pytest.mark.parametrize("name", OTHERS)
def test_fp32_is_that_of_torch(name, light, pair):
    pytest.importorskip(name)
    runtime = CompiledRuntime(onnx_model(light), name, "fp32")
    assert runtime.precision == "fp32"
    for image in (slice(None), slice(0, 64)):  # sizes and batches are free
        batch = [np.concatenate((one[:, image], one[:, image] * 0.5)) for one in pair]
        exact = TorchRuntime(light, "cpu", "fp32")(*batch)
        np.testing.assert_allclose(runtime(*batch), exact, atol=1e-5)


@pytest.mark.parametrize("name", ["torch", "openvino"])
def test_bf16_stays_within_three_grey_levels(name, light, monkeypatch):
    """Also after memory was used again: OpenVINO must not share weights that torch frees."""
    pytest.importorskip(name)
    monkeypatch.setattr("fsidfusion.runtime.device.has_native_bf16", lambda device: True)
    exact = TorchRuntime(light, "cpu", "fp32")
    runtime = (
        TorchRuntime(light, "cpu", "bf16")
        if name == "torch"
        else CompiledRuntime(onnx_model(light), name, "bf16")
    )
    assert runtime.precision == "bf16"
    for seed, time_of_day in ((3, "night"), (4, "day"), (5, "dusk")):
        scene = render_scene(seed, (160, 224), time_of_day=time_of_day)
        pair = luma(scene.infrared)[None], luma(scene.visible)[None]
        difference = 255 * np.abs(runtime(*pair) - exact(*pair))
        assert difference.max() < 3
        assert difference.mean() < 0.25


def test_bf16_that_is_not_faithful_gives_way_to_fp32(light, monkeypatch):
    pytest.importorskip("openvino")
    monkeypatch.setattr(
        CompiledRuntime, "_compile", lambda self, precision: lambda infrared, visible: visible
    )
    monkeypatch.setattr("fsidfusion.runtime.device.has_native_bf16", lambda device: True)
    monkeypatch.setattr(CompiledRuntime, "_difference", lambda self: 3.5 / 255)
    assert CompiledRuntime(onnx_model(light), "openvino", "auto").precision == "fp32"
    with pytest.raises(FusionError, match=r"3\.5 grey levels"):
        CompiledRuntime(onnx_model(light), "openvino", "bf16")


@pytest.mark.parametrize("name", OTHERS)
def test_several_threads_may_share_a_runtime(name, light):
    pytest.importorskip(name)
    runtime = CompiledRuntime(onnx_model(light), name, "fp32")
    random = np.random.default_rng(0)
    pairs = [random.random((2, 1, 32, 32 + 16 * (i % 3)), np.float32) for i in range(12)]
    expected = [runtime(*pair) for pair in pairs]
    with ThreadPoolExecutor(4) as pool:
        for found, known in zip(pool.map(lambda pair: runtime(*pair), pairs), expected):
            np.testing.assert_array_equal(found, known)


def test_tiles_fuse_as_the_whole(light):
    pytest.importorskip("onnxruntime")
    infrared, visible = np.random.default_rng(0).integers(0, 256, (2, 640, 200), np.uint8)
    options = {"device": "cpu", "precision": "fp32", "range": "none", "runtime": "onnxruntime"}
    whole = Fuser(light, tile="off", **options).fuse_luma([infrared], [visible])[0]
    tiled = Fuser(light, tile=576, **options).fuse_luma([infrared], [visible])[0]
    np.testing.assert_allclose(tiled, whole, atol=1e-4)


@pytest.mark.parametrize(
    "installed, is_local, has_onnx, precision, expected",
    [
        ("torch openvino onnxruntime", True, True, "auto", "openvino"),
        ("torch openvino onnxruntime", False, False, "auto", "torch"),
        ("torch onnxruntime", True, True, "auto", "onnxruntime"),
        ("torch onnxruntime", True, True, "bf16", "torch"),
        ("torch onnxruntime", True, False, "auto", "torch"),
        ("onnxruntime", True, True, "auto", "onnxruntime"),
        ("onnxruntime", True, True, "bf16", "onnxruntime"),
    ],
)
def test_a_rule_takes_the_runtime(installed, is_local, has_onnx, precision, expected, monkeypatch):
    monkeypatch.setattr(runtimes, "is_installed", lambda name: name in installed.split())
    assert chosen_runtime(is_local, has_onnx, precision) == expected


def test_a_network_that_is_given_stays_in_torch(tmp_path):
    assert Fuser(LocalNetwork(), device="cpu").runtime == "torch"
    save_weights(tmp_path / "light.safetensors", LightFusion())
    assert Fuser(tmp_path / "light.safetensors", device="cpu", runtime="torch").runtime == "torch"


def test_weights_from_a_file_run_in_every_runtime(tmp_path, pair):
    torch.manual_seed(1)
    network = LightFusion(channels=4, width=4, blocks=1, overview=4)
    torch.nn.init.normal_(network.overview.answer.weight, std=0.2)
    save_weights(tmp_path / "mine.safetensors", network)
    for emphasis in (0.0, 1.0):
        fused = [
            load_runtime(tmp_path / "mine.safetensors", name, "cpu", "fp32", 1, emphasis)(*pair)
            for name in ("torch", *OTHERS)
        ]
        for other in fused[1:]:
            np.testing.assert_allclose(other, fused[0], atol=1e-5)


@pytest.mark.parametrize("name", OTHERS)
def test_the_emphasis_of_a_compiled_network_can_be_chosen(name, pair):
    torch.manual_seed(1)
    network = LightFusion(channels=4, width=4, blocks=1, overview=4).eval()
    torch.nn.init.normal_(network.overview.answer.weight, std=0.2)
    model = OnnxModel(onnx_bytes(EmphasisForm(network)), Traits.of(network), 300, lambda: network)
    fused = []
    for emphasis in (0.0, 0.5, 1.0):
        network.emphasis = emphasis
        fused.append(CompiledRuntime(model, name, "fp32", 1, emphasis)(*pair))
        np.testing.assert_allclose(fused[-1], TorchRuntime(network, "cpu", "fp32")(*pair), atol=1e-5)
    assert np.abs(fused[2] - fused[0]).max() > 0.01


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
    monkeypatch.setattr(runtimes, "is_installed", lambda name: name != "openvino")
    assert "openvino" not in installed_runtimes()
    with pytest.raises(FusionError, match=r"pip install '\.\[openvino\]'"):
        load_runtime(LocalNetwork(), "openvino", "cpu")
