import doctest
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import fsidfusion
from fsidfusion.errors import FusionError
from fsidfusion.fusion import calls
from fsidfusion.fusion import fuser as fuser_module
from fsidfusion.fusion.color import render
from fsidfusion.fusion.files import in_flight
from fsidfusion.fusion.fuser import Fuser
from fsidfusion.fusion.pipeline import Fusion, Pipeline
from fsidfusion.fusion.plan import Plan
from fsidfusion.images.files import Picture
from fsidfusion.images.output_range import Range
from fsidfusion.images.pixels import luma
from fsidfusion.runtime import passes
from fsidfusion.runtime.device import resident_memory
from fsidfusion.runtime.torch_runtime import TorchRuntime
from stand_ins import GlobalNetwork, LocalNetwork

LOCAL, GLOBAL = LocalNetwork(), GlobalNetwork()


def network_fuser(network=LOCAL, **options):
    return Fuser(network, **{"device": "cpu", "precision": "fp32", "range": "none"} | options)


def image(*shape, dtype=np.uint8, seed=0):
    values = np.random.default_rng(seed).random(shape)
    return (
        values.astype(dtype) if np.dtype(dtype).kind == "f" else (values * np.iinfo(dtype).max).astype(dtype)
    )


def maximum(infrared, visible):
    return np.maximum(infrared, visible)


@given(
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    kinds=st.tuples(*[st.sampled_from([np.uint8, np.uint16, np.float16, np.float32, np.float64])] * 2),
    colour=st.tuples(st.booleans(), st.booleans()),
    color=st.sampled_from(["visible", "infrared", "gray"]),
)
def test_every_size_depth_and_colour(size, kinds, colour, color):
    infrared, visible = (
        image(*size, 3, dtype=kind, seed=i) if rgb else image(*size, dtype=kind, seed=i)
        for i, (kind, rgb) in enumerate(zip(kinds, colour))
    )
    fused = network_fuser().fuse(infrared, visible, color=color)
    source = {"visible": visible, "infrared": infrared, "gray": luma(visible)}[color]
    assert fused.shape == source.shape
    assert fused.dtype == visible.dtype
    expected = network_fuser().fuse_luma([infrared], [visible])[0]
    levels = {"u": 1 / np.iinfo(fused.dtype).max if fused.dtype.kind == "u" else 0, "f": 2e-3}[
        fused.dtype.kind
    ]
    np.testing.assert_allclose(luma(fused), expected, atol=levels + 1e-5)


@given(
    size=st.tuples(st.integers(1, 300), st.integers(1, 300)),
    tile=st.integers(72, 200),
    network=st.sampled_from([LOCAL, GLOBAL]),
)
def test_tiled_is_untiled(size, tile, network):
    infrared, visible = image(*size), image(*size, 3, seed=1)
    whole = network_fuser(network, tile="off").fuse_luma([infrared], [visible])[0]
    tiled = network_fuser(network, tile=tile).fuse_luma([infrared], [visible])[0]
    np.testing.assert_allclose(tiled, whole, atol=1e-5)


def test_statistics_of_a_grid_of_crops_are_close(monkeypatch):
    rng = np.random.default_rng(0)
    infrared = np.kron(rng.integers(0, 255, (8, 10), np.uint8), np.ones((96, 96), np.uint8))
    visible = image(768, 960, seed=1)
    whole = network_fuser(GLOBAL, tile="off").fuse_luma([infrared], [visible])[0]
    covered = network_fuser(GLOBAL, tile=400).fuse_luma([infrared], [visible])[0]
    np.testing.assert_allclose(covered, whole, atol=1e-5)  # all of it fits into one pass
    monkeypatch.setattr(passes, "MIN_CROP", 64)
    monkeypatch.setattr(passes, "MAX_SAMPLED", 48 * 64**2)
    sampled = network_fuser(GLOBAL, tile=400).fuse_luma([infrared], [visible])[0]
    assert np.abs(sampled - whole).max() < 0.03


def test_one_mapping_for_all_tiles():
    rng = np.random.default_rng(0)
    infrared, visible = (
        np.linspace(0, 255, 300 * 200).reshape(300, 200) + rng.random((300, 200)) for _ in "ab"
    )
    pair = infrared.clip(0, 255).astype(np.uint8), visible.clip(0, 255).astype(np.uint8)
    whole = network_fuser(range="minmax", tile="off").fuse(*pair)
    tiled = network_fuser(range="minmax", tile=80).fuse(*pair)
    assert np.abs(whole.astype(int) - tiled).max() <= 1
    assert (whole.min(), whole.max()) == (0, 255)


def test_a_batch_is_its_pairs():
    pairs = [(image(48, 40, seed=i), image(48, 40, 3, seed=i + 9)) for i in range(5)]
    fuser = network_fuser(range="percentile")
    fusions = [Fusion(Picture(infrared), Picture(visible)) for infrared, visible in pairs]
    Pipeline(fuser, Plan())(*fusions)
    for fusion, pair in zip(fusions, pairs):
        assert np.abs(fusion.result.pixels.astype(int) - fuser.fuse(*pair)).max() <= 1
    assert fuser.batch_size(48, 40) > 1
    assert fuser.batch_size(4000, 4000) == 1
    assert fuser.fuse_luma([], []) == []


def test_threads_share_a_fuser():
    pairs = [(image(40, 40, seed=i), image(40, 40, seed=i + 9)) for i in range(12)]
    fuser = network_fuser()
    expected = [fuser.fuse(*pair) for pair in pairs]
    with ThreadPoolExecutor(4) as pool:
        for fused, known in zip(pool.map(lambda pair: fuser.fuse(*pair), pairs), expected):
            np.testing.assert_array_equal(fused, known)


def test_rules_are_models_too():
    infrared, visible = image(1, 1), image(1, 1, seed=1)
    assert Fuser(maximum, range="none").fuse(infrared, visible) == max(infrared, visible)
    fuser = Fuser(maximum)
    assert (fuser.device, fuser.precision) == ("cpu", "fp32")


def test_baselines_are_named_like_networks():
    infrared, visible = image(20, 30), image(20, 30, 3, seed=1)
    fused = Fuser("laplacian").fuse_luma([infrared] * 3, [visible] * 3)
    assert all(result.shape == (20, 30) for result in fused)
    np.testing.assert_array_equal(fused[0], fused[2])


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_quick_pairs_go_side_by_side(threads):
    quick = network_fuser(threads=4)
    assert torch.get_num_threads() == quick.threads == 4
    assert 1 < quick.parallel_passes(200, 300) <= 4
    assert quick.parallel_passes(4000, 4000) == 1
    assert network_fuser(memory="1MiB").parallel_passes(200, 300) == 1
    assert Fuser(maximum, threads=3).parallel_passes(200, 300) == 3

    class Slow(LocalNetwork):
        def forward(self, infrared, visible):
            started = time.perf_counter()
            while time.perf_counter() - started < 0.1:
                pass
            return super().forward(infrared, visible)

    assert network_fuser(Slow(), threads=4).parallel_passes(480, 640) == 1


def test_the_depth_of_the_result_may_be_chosen():
    infrared, visible = image(9, 7, dtype=np.uint16), image(9, 7, seed=1)
    fused = Fuser(maximum, range="none").fuse(infrared, visible, dtype=np.uint16)
    np.testing.assert_array_equal(fused, np.maximum(infrared, visible.astype(np.uint16) * 257))


def test_rendering_maps_the_range_and_rounds():
    fused = np.array([[0.2, 0.3, 0.4]], np.float32)
    assert render(fused, Range(0.2, 0.4), None, np.dtype(np.uint8)).tolist() == [[0, 128, 255]]


def test_memory_decides_about_tiles():
    class Wide(nn.Module):
        size_multiple, minimum_size, tile_overlap, has_global_statistics = 1, 1, 2, False
        largest = 0

        def forward(self, infrared, visible):
            Wide.largest = max(Wide.largest, infrared.shape[-1] * infrared.shape[-2])
            return infrared.expand(-1, 64, -1, -1).contiguous()[:, :1] + visible

    pair = image(700, 700), image(700, 700, seed=1)
    Fuser(Wide(), device="cpu").fuse(*pair)
    assert Wide.largest == 490_000
    Wide.largest = 0
    Fuser(Wide(), device="cpu", memory=int((resident_memory() + 180 * 2**20) / 0.9)).fuse(*pair)
    assert 0 < Wide.largest < 400_000
    with pytest.raises(FusionError, match="does not fit"):
        Fuser(Wide(), device="cpu", memory="1MiB").fuse(*pair)


def test_large_pictures_are_cut_where_no_limit_is_given(monkeypatch):
    class Seen(LocalNetwork):
        largest = 0

        def forward(self, infrared, visible):
            Seen.largest = max(Seen.largest, infrared.shape[-1] * infrared.shape[-2])
            return super().forward(infrared, visible)

    network = Seen()
    pair = image(500, 700), image(500, 700, seed=1)
    whole = network_fuser(network).fuse_luma([pair[0]], [pair[1]])[0]
    assert Seen.largest == 350_000
    monkeypatch.setattr(fuser_module, "LARGE_PIXELS", 300_000)
    monkeypatch.setattr(fuser_module, "_SAFE_PASS", 1 << 30)
    monkeypatch.setattr(fuser_module, "AIM", 0)
    measured = TorchRuntime.peak_bytes
    monkeypatch.setattr(TorchRuntime, "peak_bytes", lambda self, pixels: 1000 * pixels)
    monkeypatch.setattr(fuser_module, "LEAST_AIM", 10_000_000)  # 10,000 pixels: less than the smallest tile
    Seen.largest = 0
    tiled = network_fuser(network).fuse_luma([pair[0]], [pair[1]])[0]
    assert 0 < Seen.largest < 50_000  # the smallest, not refused
    np.testing.assert_allclose(tiled, whole, atol=1e-5)
    monkeypatch.setattr(TorchRuntime, "peak_bytes", measured)
    Seen.largest = 0
    network_fuser(network, memory="64GiB").fuse_luma([pair[0]], [pair[1]])
    assert Seen.largest == 350_000  # who gives more means it


def test_the_memory_aimed_at_refuses_nothing(monkeypatch):
    monkeypatch.setattr(fuser_module, "AIM", 1)
    assert network_fuser().memory > resident_memory()
    assert 0 < in_flight(network_fuser()) <= network_fuser().memory


def test_smaller_tiles_where_memory_runs_out_all_the_same():
    class Small(LocalNetwork):
        def forward(self, infrared, visible):
            if infrared.shape[-1] > 150:
                raise MemoryError
            return super().forward(infrared, visible)

    pair = image(300, 500), image(300, 500, seed=1)
    whole = network_fuser(LOCAL).fuse_luma([pair[0]], [pair[1]])[0]
    tiled = network_fuser(Small()).fuse_luma([pair[0]], [pair[1]])[0]
    np.testing.assert_allclose(tiled, whole, atol=1e-5)
    with pytest.raises(FusionError, match="does not fit"):
        network_fuser(Small(), tile="off").fuse(*pair)


@pytest.mark.parametrize("overlap, tile", [(None, "auto"), (2, "off")])
def test_no_tiles_where_none_are_possible_or_wanted(overlap, tile):
    class Whole(nn.Module):
        tile_overlap = overlap
        widths = ()

        def forward(self, infrared, visible):
            Whole.widths += (infrared.shape[-1],)
            return torch.maximum(infrared, visible)

    pair = image(1200, 1200), image(1200, 1200, seed=1)
    fused = network_fuser(Whole(), tile=tile).fuse(*pair)
    np.testing.assert_array_equal(fused, np.maximum(*pair))
    assert Whole.widths[-1] == 1200


@pytest.mark.parametrize(
    "options, words",
    [
        ({"model": "no-such-model"}, "no-such-model"),
        ({"model": "absent.safetensors"}, "absent.safetensors"),
        ({"model": 3}, "no name"),
        ({"model": LOCAL, "device": "gpu"}, "gpu"),
        ({"model": LOCAL, "precision": "half"}, "half"),
        ({"model": LOCAL, "range": "best"}, "best"),
        ({"model": LOCAL, "tile": 0}, "tile"),
        ({"model": LOCAL, "tile": "small"}, "small"),
        ({"model": LOCAL, "memory": "lots"}, "lots"),
        ({"model": LOCAL, "threads": 0}, "threads"),
    ],
)
def test_wrong_options_are_named(options, words):
    with pytest.raises(FusionError, match=words) as error:
        Fuser(**options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "infrared, visible, words",
    [
        (image(4, 5), image(5, 4), "5x4 and 4x5|4x5 and 5x4"),
        (image(4, 5, dtype=np.float32) + np.nan, image(4, 5), "infrared holds NaN"),
        (image(4, 5), image(4, 5, 4), "visible has the shape"),
        (image(4, 5).astype(int), image(4, 5), "int64"),
        (image(0, 5), image(0, 5), "no pixel"),
    ],
)
def test_wrong_images_are_named(infrared, visible, words):
    with pytest.raises(FusionError, match=words):
        Fuser(maximum).fuse(infrared, visible)


def test_other_wrong_calls_are_named():
    with pytest.raises(FusionError, match="chroma"):
        Fuser(maximum).fuse(image(4, 4), image(4, 4), color="chroma")
    with pytest.raises(FusionError, match="make no pairs"):
        Fuser(maximum).fuse_luma([image(4, 4)], [])
    with pytest.raises(FusionError, match="too small"):
        network_fuser(tile=20).fuse(image(100, 100), image(100, 100))
    with pytest.raises(FusionError, match="NaN"):
        Fuser(lambda infrared, visible: visible * np.nan).fuse(image(4, 4), image(4, 4))


def test_the_kept_model_is_loaded_once(monkeypatch):
    loaded = []
    runtime = TorchRuntime(LOCAL, "cpu")
    monkeypatch.setattr(fuser_module, "load_runtime", lambda name, *rest: loaded.append(name) or runtime)
    calls.kept_fuser.cache_clear()
    pair = image(16, 16), image(16, 16, 3)
    results = [fsidfusion.fuse(*pair, device="cpu") for _ in range(3)]
    calls.kept_fuser.cache_clear()
    assert loaded == [fsidfusion.DEFAULT_MODEL]
    assert all(np.array_equal(result, results[0]) for result in results)


def test_the_examples_in_the_documentation_run():
    calls.kept_fuser.cache_clear()
    for module in (fsidfusion, fuser_module, calls):
        results = doctest.testmod(module)
        assert results.failed == 0
        assert results.attempted > 0
    calls.kept_fuser.cache_clear()


def test_importing_the_package_does_not_import_torch():
    code = "import sys, fsidfusion; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_emphasis_is_that_of_the_overview(tmp_path):
    from fsidfusion.network.checkpoint import save_weights
    from fsidfusion.network.light import LightFusion

    torch.manual_seed(0)
    network = LightFusion(channels=4, width=4, blocks=1, overview=4)
    assert network.overview is not None and network.overview.answer.bias is not None
    with torch.no_grad():
        network.overview.answer.bias[4:] = torch.tensor([1.0, -0.5, 0.0, 0.9])  # all above 0.6 becomes 0.9
    save_weights(tmp_path / "seen.safetensors", network)
    infrared, visible = np.full((32, 32), 200, np.uint8), np.zeros((32, 32), np.uint8)
    options = {"device": "cpu", "precision": "fp32", "range": "none", "runtime": "torch"}
    levels = {
        emphasis: Fuser(tmp_path / "seen.safetensors", emphasis=emphasis, **options).fuse(infrared, visible)
        for emphasis in ("targets", "natural")
    }
    assert np.abs(levels["targets"].astype(int) - round(0.9 * 255)).max() <= 1
    assert np.abs(levels["natural"].astype(int) - 200).mean() < 20  # 30 with the targets
    with pytest.raises(FusionError, match="targets or natural"):
        Fuser(emphasis="strong")
