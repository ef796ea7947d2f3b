import json
import math
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fsidfusion.cli import main
from fsidfusion.errors import FusionError
from fsidfusion.images.pairs import Pair
from fsidfusion.network.checkpoint import build_model, save_weights
from fsidfusion.studies.explain.measure import (
    FREE,
    PARTS,
    PLACES,
    STAGE_ONE,
    TRAINED,
    correlation,
    drift,
    explain,
    similarity,
    take_apart,
)
from fsidfusion.studies.explain.report import claims, component_maps

SMALL = {
    "fsidfusion": {"channels": 16, "blocks": 1},
    "fsidfusion-light": {"channels": 4, "width": 8, "blocks": 1},
}


def network(name: str, seed: int = 0) -> torch.nn.Module:
    torch.manual_seed(seed)
    return build_model(name, SMALL[name]).eval()


def pictures(folder: Path, number: int = 2, size: tuple[int, int] = (40, 56)) -> list[Pair]:
    rng = np.random.default_rng(3)
    pairs = []
    for i in range(number):
        paths = folder / "ir" / f"{i}.png", folder / "vi" / f"{i}.png"
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
            coarse = rng.integers(0, 256, (8, 8), np.uint8)
            Image.fromarray(coarse).resize(size[::-1], Image.Resampling.BICUBIC).save(path)
        pairs.append(Pair(str(i), *paths))
    return pairs


def test_features_are_those_that_the_network_decodes() -> None:
    infrared, visible = torch.rand(2, 1, 1, 24, 32)
    published = network("fsidfusion")
    taken = take_apart(published, infrared, visible)
    features = published.features(infrared, visible)
    assert torch.equal(taken.shared, features.shared[0])
    assert torch.equal(taken.specific[0], features.infrared_specific[0])
    with torch.no_grad():
        joined = published.encoder.interaction.gate(*(side[None] for side in taken.shared_after), None)
        again = published.encoder.interaction(*(side[None] for side in taken.shared_before))
    assert torch.allclose(joined[0], taken.shared, atol=1e-6)
    assert torch.allclose(again[0], taken.shared, atol=1e-6)

    light = network("fsidfusion-light")
    taken = take_apart(light, infrared, visible)
    with torch.no_grad():
        after = light.interaction(*(side[None] for side in taken.shared_before))
        whole = torch.cat((*taken.shared_after, *taken.specific))
        assert torch.allclose(whole, light.features(infrared, visible)[0])
    assert all(torch.allclose(a[0], b) for a, b in zip(after, taken.shared_after))
    with pytest.raises(FusionError, match="Conv2d has no shared and specific features"):
        take_apart(torch.nn.Conv2d(1, 1, 1), infrared, visible)


def test_correlation_against_numpy() -> None:
    a, b = torch.rand(2, 5, 6, 7)
    expected = [np.corrcoef(x.flatten(), y.flatten())[0, 1] for x, y in zip(a, b)]
    assert correlation(a, b) == pytest.approx((np.mean(expected), np.mean(np.abs(expected))), abs=1e-9)
    b[0] = 1.0  # a constant channel has no correlation
    assert correlation(a, b)[0] == pytest.approx(np.mean(expected[1:]), abs=1e-9)


@given(st.integers(0, 10**6), st.floats(0.1, 10))
def test_similarity_is_blind_to_turns_and_scale(seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    a, b = torch.from_numpy(rng.normal(size=(2, 4, 6, 5)))
    turn = torch.from_numpy(np.linalg.qr(rng.normal(size=(4, 4)))[0])
    turned = scale * torch.einsum("ij,jhw->ihw", turn, b)
    assert similarity(a, a) == pytest.approx(1)
    assert 0 <= similarity(a, b) <= 1
    assert similarity(a, turned) == pytest.approx(similarity(a, b), abs=1e-9)


def test_drift_of_known_changes() -> None:
    then = torch.rand(3, 8, 8)
    still, doubled = drift(then, then), drift(then, 2 * then)
    assert (still.distance, still.dissimilarity) == pytest.approx((0, 0), abs=1e-9)
    assert (doubled.distance, doubled.dissimilarity) == pytest.approx((1, 0), abs=1e-9)


def test_component_maps_have_one_basis_for_both() -> None:
    features = torch.rand(5, 12, 16)
    first, second = component_maps((features, features.clone()))
    assert np.array_equal(first, second)
    assert first.shape == (12, 16, 3)
    assert component_maps((torch.rand(2, 8, 8),) * 2)[0].shape == (8, 8, 3)


def test_every_claim_is_measured(tmp_path: Path) -> None:
    networks = {name: network("fsidfusion", seed) for seed, name in enumerate((TRAINED, STAGE_ONE, FREE))}
    networks[STAGE_ONE] = networks[TRAINED]  # nothing has drifted with the term
    explained, failed = explain(networks, [*pictures(tmp_path), Pair("x", Path("no"), Path("no"))], size=32)
    assert len(failed) == 1
    assert [one.pair for one in explained] == ["0", "1"]
    one = explained[0]
    assert one.fused.shape == (32, 32)
    assert tuple(one.agreement) == PLACES
    assert all(one.drift[TRAINED][part].distance == 0 < one.drift[FREE][part].distance for part in PARTS)
    assert set(one.reconstruction) == {TRAINED, STAGE_ONE, FREE}
    rows = claims(explained)
    assert [holds for _, _, holds in rows][2:4] == ["2 of 2", "2 of 2"]
    assert all("distance from stage I 0.000 with it" in measured for _, measured, _ in rows[2:4])
    assert "grey levels after stage I" in rows[4][1]


def test_networks_must_be_of_one_kind(tmp_path: Path) -> None:
    networks = {TRAINED: network("fsidfusion"), STAGE_ONE: network("fsidfusion-light")}
    with pytest.raises(FusionError, match="the weights of stage I are of fsidfusion-light"):
        explain(networks, pictures(tmp_path))
    with pytest.raises(FusionError, match="no pair could be read"):
        explain({TRAINED: network("fsidfusion")}, [])


class Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.pictures = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "section":
            self.ids.append(given["id"] or "")
        self.pictures += tag == "img" and (given.get("src") or "").startswith("data:image/webp")


def test_command_line_writes_page_figures_and_pictures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures(tmp_path)
    sides = ["--ir", str(tmp_path / "ir"), "--vis", str(tmp_path / "vi"), "--device", "cpu"]
    for seed, name in enumerate(("now", "then", "free")):
        save_weights(tmp_path / f"{name}.safetensors", network("fsidfusion", seed))
    now, then, free = (str(tmp_path / f"{name}.safetensors") for name in ("now", "then", "free"))
    line = ["explain", *sides, "--model", now, "--middle", "16"]
    folder = tmp_path / "out"
    assert main([*line, "--stage-one", then, "--without-regularisation", free, "-o", str(folder)]) == 0
    assert "holds the specific features against drift: distance" in capsys.readouterr().out
    page = Page()
    page.feed((folder / "report.html").read_text("utf-8"))
    assert page.ids == ["claims", "agreement", "drift", "maps", "channels"]
    assert page.pictures == 2
    figures = json.loads((folder / "figures.json").read_text())
    assert all(math.isfinite(d["distance"]) for d in figures["pairs"]["0"]["drift"][FREE].values())
    assert Image.open(folder / "features.png").size[0] > 500
    assert main([*line, "--model", "fsidfusion-light", "-o", str(tmp_path / "one.html"), "--limit", "1"]) == 0
    assert main([*line, "--without-regularisation", free, "-o", str(folder)]) == 2
    assert "needs --stage-one" in capsys.readouterr().err
