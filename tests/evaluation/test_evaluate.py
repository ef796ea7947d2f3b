import hashlib
import json
import math
import shutil

import cv2
import numpy as np
import pytest

import fsidfusion
import fsidfusion.evaluation.evaluate as evaluation_module
from fsidfusion import FusionError
from fsidfusion.cli import main
from fsidfusion.evaluation.evaluate import (
    choose_metrics,
    evaluate,
    evaluate_methods,
    score_pairs,
    whole_pairs,
)
from fsidfusion.evaluation.methods import FusedFiles, Model, row_name
from fsidfusion.images.files import Picture, read_picture, write_picture
from fsidfusion.images.pairs import match_pairs
from fsidfusion.images.sets import open_set
from fsidfusion.metrics import DEFAULT, METRICS, score


@pytest.fixture
def folders(rendered, tmp_path):
    """ir/, vis/ and the pixel maximum of both in fused/."""
    shutil.copytree(rendered / "TNO" / "ir", tmp_path / "ir")
    shutil.copytree(rendered / "TNO" / "vi", tmp_path / "vis")
    for path in (tmp_path / "ir").iterdir():
        visible = read_picture(tmp_path / "vis" / f"{path.stem}.bmp").pixels
        fused = np.maximum(read_picture(path).pixels, visible)
        write_picture(tmp_path / "fused" / f"{path.stem}.webp", Picture(fused))
    return tmp_path


def of(folders, **options):
    return evaluate(folders / "ir", folders / "vis", folders / "fused", **options)


def test_scores_are_those_of_the_metrics(folders):
    assert fsidfusion.evaluate is evaluate
    result = of(folders)
    assert list(result.scores) == ["0", "1", "2", "3"]
    assert result.metrics == DEFAULT
    images = [read_picture(folders / p).pixels for p in ("fused/2.webp", "ir/2.png", "vis/2.bmp")]
    assert result.scores["2"] == score(*images)
    for metric, mean in result.mean.items():
        assert mean == pytest.approx(np.mean([row[metric] for row in result.scores.values()]))
    digest = hashlib.sha256((folders / "fused" / "2.webp").read_bytes()).hexdigest()
    assert result.hashes["2"]["fused"] == digest
    assert result.undefined == {}


def test_threads_change_nothing(folders):
    threads = cv2.getNumThreads()
    one, many = of(folders, threads=1), of(folders, threads=5)
    assert one.scores == many.scores
    assert list(one.scores) == list(many.scores)
    assert cv2.getNumThreads() == threads


def test_colour_is_scored_on_luma_and_16_bits_on_8(rendered, tmp_path):
    pair = open_set(rendered / "MSRS", "test").pairs[0]
    colour = read_picture(pair.visible).pixels
    write_picture(tmp_path / "colour.png", Picture(colour))
    names = ["EN", "AG", "VIF", "Qabf"]
    gray = read_picture(pair.infrared).pixels
    result = evaluate(pair.infrared, pair.visible, tmp_path / "colour.png", metrics=names)
    assert result.scores[pair.name] == score(colour, gray, colour, names)
    deep = colour[..., 1].astype(np.uint16) * 257
    write_picture(tmp_path / "deep.png", Picture(deep))
    result = evaluate(pair.infrared, pair.visible, tmp_path / "deep.png", metrics=names)
    assert result.scores[pair.name] == score(colour[..., 1], gray, colour, names)


def test_a_model_scores_like_its_files(folders):
    pairs = open_set_pairs(folders)
    files = FusedFiles(str(folders / "fused"), pairs)
    model = Model("maximum")
    assert model.rows == ("maximum", "maximum, stretched")
    fused, plain, stretched = evaluate_methods(pairs, [files, model])
    assert fused.scores == plain.scores
    assert stretched.mean["SD"] > plain.mean["SD"]
    assert plain.source == plain.source | {"model": "maximum", "range": "none", "weights_sha256": None}


def open_set_pairs(folders):
    return whole_pairs(match_pairs([folders / "ir"], [folders / "vis"]))


def test_a_network_is_known_by_its_weights(folders, tmp_path):
    torch = pytest.importorskip("torch")
    from fsidfusion.network.checkpoint import save_weights
    from fsidfusion.network.light import LightFusion

    torch.manual_seed(0)
    path = tmp_path / "small.safetensors"
    save_weights(path, LightFusion(channels=4, width=4, blocks=1))
    model = Model(str(path), ["percentile", "minmax"], device="cpu")
    assert model.rows == ("small", "small, min-max")
    first, _ = evaluate_methods(open_set_pairs(folders)[:1], [model], ["EN"])
    assert first.source["weights_sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert first.source["device"] == "cpu"


def test_what_is_missing_or_stale_is_an_error(folders):
    (folders / "fused" / "1.webp").rename(folders / "fused" / "9.webp")
    with pytest.raises(FusionError, match=r"no fused picture for 1 \(1 of 4 pairs\)"):
        of(folders)
    shutil.copy(folders / "fused" / "9.webp", folders / "fused" / "1.webp")
    with pytest.raises(FusionError, match="1 fused without a source pair: 9"):
        of(folders)
    shutil.move(folders / "fused" / "9.webp", folders / "ir" / "9.webp")
    with pytest.raises(FusionError, match=r"9\.webp: no partner"):
        of(folders)
    (folders / "ir" / "9.webp").unlink()
    shutil.copy(folders / "fused" / "1.webp", folders / "fused" / "1.tif")
    with pytest.raises(FusionError, match="same stem"):
        of(folders)


def test_what_is_wrong_with_a_picture_names_it(folders):
    write_picture(folders / "fused" / "2.webp", Picture(np.zeros((20, 30), np.uint8)))
    with pytest.raises(FusionError, match=r"pair 2: .*20x30"):
        of(folders)
    (folders / "fused" / "2.webp").write_bytes(b"RIFF1234WEBP broken")
    with pytest.raises(FusionError, match=r"2\.webp is damaged"):
        of(folders)


def test_undefined_scores_are_counted_not_averaged(folders):
    flat = np.full(read_picture(folders / "ir" / "0.png").size, 90, np.uint8)
    write_picture(folders / "fused" / "0.webp", Picture(flat))
    result = of(folders, metrics=["EN", "CC"])
    assert math.isnan(result.scores["0"]["CC"])
    assert result.undefined == {"CC": ["0"]}
    assert result.mean["CC"] == pytest.approx(np.mean([result.scores[p]["CC"] for p in "123"]))
    assert result.record()["pairs"]["0"] == {"EN": 0.0, "CC": None}


def test_a_stopped_run_stops(folders):
    class Stop(Exception):
        pass

    def stop(scored):
        raise Stop

    with pytest.raises(Stop):
        score_pairs(open_set_pairs(folders), [Model("mean")], stop, ["EN"], threads=2)


def test_rows_need_names_of_their_own(folders):
    with pytest.raises(FusionError, match="two results are called maximum"):
        evaluate_methods(open_set_pairs(folders), [Model("maximum"), Model("maximum", ["none"])])


def test_metrics_are_chosen_by_name():
    assert choose_metrics("default") == DEFAULT
    everything = choose_metrics("all", "tang")
    assert set(everything) == {metric.name for metric in METRICS}
    assert choose_metrics(["Qcv", "default", "EN"])[0] == "Qcv"
    assert len(choose_metrics(["default", "EN"])) == len(DEFAULT)
    with pytest.raises(FusionError, match="unknown metric 'EM'"):
        choose_metrics(["EM"])
    with pytest.raises(FusionError, match="convention"):
        choose_metrics("all", "cdd")


def test_ranges_have_names():
    assert row_name("net", "percentile", False) == "net"
    assert row_name("net", "none", False) == "net, unstretched"
    assert row_name("mean", "none", True) == "mean"
    assert row_name("mean", "minmax", True) == "mean, min-max"
    with pytest.raises(FusionError, match="'full' is unknown"):
        Model("mean", ["full"])


def test_a_pair_that_goes_wrong_is_left_out_by_name(folders, monkeypatch, capsys):
    whole = evaluation_module.read_picture

    def read(path, *rest):
        found = whole(path, *rest)
        if path == folders / "ir" / "2.png":
            path.unlink()  # between its pixels and its checksum
        if path.stem == "3":
            raise KeyError("odd\nlines")
        return found

    monkeypatch.setattr(evaluation_module, "read_picture", read)
    line = ["evaluate", "--ir", str(folders / "ir"), "--vis", str(folders / "vis")]
    line += ["--fused", str(folders / "fused"), "--metrics", "EN"]
    (folders / "fused" / "1.webp").write_bytes(b"RIFF1234WEBP broken")
    assert main([*line, "--json"]) == 1
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert list(found["pairs"]) == ["0"]
    assert set(found["failed"]) == {"1", "2", "3"}
    told = [text for text in said.err.splitlines() if "failed: pair" in text]
    assert len(told) == 3
    assert any("KeyError" in text for text in told)
    assert "3 of 4 pairs are left out of every mean" in said.err
    (folders / "fused" / "0.webp").write_bytes(b"RIFF1234WEBP broken")
    shutil.copy(folders / "ir" / "0.png", folders / "ir" / "2.png")
    assert main([*line, "--json"]) == 2
    assert "no pair can be scored: pair " in capsys.readouterr().err


def test_as_many_threads_score_as_were_asked_for(folders, monkeypatch):
    asked = []
    pool = evaluation_module.ThreadPoolExecutor
    monkeypatch.setattr(evaluation_module, "ThreadPoolExecutor", lambda n: asked.append(n) or pool(n))
    of(folders, threads=3, metrics=["EN"])
    assert asked == [3]
