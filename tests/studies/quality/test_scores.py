import json

import numpy as np
import pytest

from fsidfusion import FusionError
from fsidfusion.evaluation.evaluate import evaluate_methods
from fsidfusion.evaluation.methods import Model, file_hash
from fsidfusion.evaluation.published import COLUMNS, published_rows
from fsidfusion.evaluation.sets import published_layout
from fsidfusion.studies.quality import scores as quality
from fsidfusion.studies.quality.documents import card_scores, to_markdown
from fsidfusion.studies.quality.gallery import build_gallery, choose
from fsidfusion.studies.quality.scores import Quality, code_hash, open_models, shown_models
from fsidfusion.studies.quality.standings import set_rows, standings


@pytest.fixture
def sets(rendered):
    return published_layout([rendered], ["TNO", "MRI_PET"])


def counted(monkeypatch) -> list[str]:
    """The names of all pairs that are fused from now on."""
    fused = []
    original = Model.fused
    monkeypatch.setattr(
        Model, "fused", lambda self, pair, *a: fused.append(pair.name) or original(self, pair, *a)
    )
    return fused


def test_scores_are_those_of_evaluate(sets, tmp_path):
    models = open_models(["maximum", "mean"])
    results = Quality(sets, models, tmp_path).run()
    assert [result.pairs.name for result in results] == ["TNO", "MRI_PET"]
    expected = evaluate_methods(sets[0].pairs, models, quality.METRICS)
    for ours, theirs in zip(results[0].evaluations, expected):
        assert (ours.name, ours.scores) == (theirs.name, theirs.scores)


def test_a_second_run_computes_nothing(sets, tmp_path, monkeypatch):
    first = Quality(sets, open_models(["mean"]), tmp_path)
    assert first.missing == 6
    results = first.run()
    fused = counted(monkeypatch)
    again = Quality(sets, open_models(["mean"]), tmp_path)
    assert again.missing == 0
    assert [r.evaluations for r in again.run()] == [r.evaluations for r in results]
    assert fused == []
    assert Quality(sets, open_models(["mean", "maximum"]), tmp_path).missing == 6


def test_a_stopped_run_keeps_what_was_finished(sets, tmp_path, monkeypatch):
    fused, finished = counted(monkeypatch), []

    def stop(scored):
        finished.append(scored)
        if len(finished) == 3:
            raise KeyboardInterrupt

    run = Quality(sets, open_models(["mean"]), tmp_path)
    with pytest.raises(KeyboardInterrupt):
        run.run(threads=1, progress=stop)
    rest = Quality(sets, open_models(["mean"]), tmp_path)
    left = rest.missing
    assert left == 3  # of 6
    fused.clear()
    rest.run()
    assert len(fused) == left
    assert Quality(sets, open_models(["mean"]), tmp_path).missing == 0


def test_other_pictures_or_code_are_scored_anew(sets, tmp_path, monkeypatch):
    Quality(sets, open_models(["mean"]), tmp_path).run()
    monkeypatch.setattr(quality, "pictures_hash", lambda pairs: "others")
    assert Quality(sets, open_models(["mean"]), tmp_path).missing == 6
    monkeypatch.undo()
    monkeypatch.setattr(quality, "code_hash", lambda places: "newer")
    assert Quality(sets, open_models(["mean"]), tmp_path).missing == 6


def test_a_network_is_scored_anew_with_new_weights(sets, tmp_path):
    torch = pytest.importorskip("torch")
    from fsidfusion.network.checkpoint import save_weights
    from fsidfusion.network.light import LightFusion

    path = tmp_path / "net.safetensors"
    for seed in range(2):
        torch.manual_seed(seed)
        save_weights(path, LightFusion(channels=4, width=4, blocks=1))
        models = open_models([str(path)], device="cpu")
        assert models[0].rows == ("net", "net, unstretched", "net, min-max")
        run = Quality(sets[1:], models, tmp_path)
        assert run.missing == 2
        run.run()
        assert Quality(sets[1:], models, tmp_path).missing == 0


def test_mri_is_scored_with_the_second_weights_of_a_network(sets, tmp_path, monkeypatch):
    torch = pytest.importorskip("torch")
    from fsidfusion.network import checkpoint, names
    from fsidfusion.network.light import LightFusion

    for seed, name in enumerate(("net", "net-medical")):
        torch.manual_seed(seed)
        checkpoint.save_weights(tmp_path / f"{name}.safetensors", LightFusion(channels=4, width=4, blocks=1))
    monkeypatch.setattr(names, "WEIGHTS", tmp_path)
    models = open_models(["net"], device="cpu")
    results = Quality(sets, models, tmp_path).run()
    assert [[e.name for e in result.evaluations] for result in results] == [list(models[0].rows)] * 2
    assert [result.evaluations[0].source["model"] for result in results] == ["net", "net-medical"]
    alone = Model("net-medical", quality.RANGES, device="cpu")
    expected = evaluate_methods(sets[1].pairs, [alone], quality.METRICS)
    assert results[1].evaluations[0].scores == expected[0].scores
    text = to_markdown(results, models)
    for name in ("net", "net-medical"):
        assert f"| {name} | `{file_hash(tmp_path / f'{name}.safetensors')}` |" in text
    card = {r.pairs.name: card_scores([r], models[0].suited(r.pairs.task)) for r in results}
    assert card["MRI_PET"]["weights_sha256"] == file_hash(tmp_path / "net-medical.safetensors")


def test_damaged_scores_are_said(sets, tmp_path):
    for text in ("{", "[]", '{"TNO": {"mean": {}}}'):
        (tmp_path / "scores.json").write_text(text)
        with pytest.raises(FusionError, match=r"scores\.json holds no kept scores .* remove it"):
            Quality(sets, open_models(["mean"]), tmp_path)


def test_undefined_scores_are_kept_as_such(sets, tmp_path, monkeypatch):
    constant = lambda self, infrared, visible: np.full(infrared.shape[:2], 0.5, np.float32)  # noqa: E731
    monkeypatch.setattr(Model, "luma", constant)
    for _ in range(2):
        results = Quality(sets[:1], open_models(["mean"]), tmp_path).run()
        assert results[0].evaluations[0].undefined["CC"] == ["0", "1", "2", "3"]
    kept = json.loads((tmp_path / "scores.json").read_text())
    assert kept["TNO"]["mean"]["scores"]["0"]["CC"] is None


def test_only_what_computes_counts_as_code(tmp_path, monkeypatch):
    monkeypatch.setattr(quality, "files", lambda package: tmp_path)

    def hashed(text):
        (tmp_path / "m.py").write_text(text)
        code_hash.cache_clear()
        return code_hash(("m.py",))

    before = hashed('"""Old."""\ndef f(x):\n    """Old."""\n    return x + 1\n')
    assert hashed('"""New."""\ndef f(x):\n    return x + 1  # same\n') == before
    assert hashed("def f(x):\n    return x + 2\n") != before
    monkeypatch.undo()
    code_hash.cache_clear()


def test_models_by_default_are_all(monkeypatch):
    names = [model.name for model in open_models([])]
    assert names[-5:] == ["maximum", "mean", "laplacian", "guided", "wavelet"]
    models = open_models(["mean", "laplacian", "maximum"])
    assert [model.name for model in shown_models(models)] == ["mean", "maximum"]
    assert [model.name for model in shown_models(models[:1])] == ["mean"]


def test_cells_are_counted(sets, tmp_path):
    results = Quality(sets, open_models(["maximum"]), tmp_path).run()
    rows = set_rows(results[0])
    names = [row.name for row in rows]
    assert names == ["maximum", "maximum, stretched", *published_rows("TNO")]
    means = rows[0].means
    reference = published_rows("TNO")["FSIDFusion"]
    assert rows[0].above_reference == sum(round(means[m], 2) >= reference[m] for m in COLUMNS)
    ranking = standings(results)
    assert [standing.name for standing in ranking] == ["maximum", "maximum, stretched"]
    assert ranking[0].cells == 14
    assert ranking[0].total[0] == rows[0].above_reference + set_rows(results[1])[0].above_reference


def test_gallery_shows_best_and_worst(sets, tmp_path):
    models = open_models(["laplacian", "maximum"])
    results = Quality(sets, models, tmp_path).run()
    chosen = choose(results[0].evaluations[0])
    vif = {pair: row["VIF"] for pair, row in results[0].evaluations[0].scores.items()}
    assert "worst VIF" in chosen[min(vif, key=vif.get)]
    assert "best VIF" in chosen[max(vif, key=vif.get)]
    assert sum(map(len, chosen.values())) == 2 * len(COLUMNS)
    gallery = build_gallery(results, models, tmp_path / "pictures")
    assert {shown.set for shown in gallery} == {"TNO", "MRI_PET"}
    assert list(gallery[0].pictures) == ["infrared", "visible", "laplacian", "maximum"]
    assert list(gallery[-1].pictures) == ["PET", "MRI", "laplacian", "maximum"]
    assert all(picture[8:12] == b"WEBP" for shown in gallery for picture in shown.pictures.values())
    small = build_gallery(results, models, tmp_path / "pictures", budget=1)
    assert len(small) == 1


def test_gallery_pictures_are_kept(sets, tmp_path, monkeypatch):
    models = open_models(["laplacian"])
    results = Quality(sets, models, tmp_path).run()
    gallery = build_gallery(results, models, tmp_path / "pictures")
    monkeypatch.delattr(Model, "luma")
    assert build_gallery(results, models, tmp_path / "pictures") == gallery


def test_a_network_in_bf16_is_among_the_models():
    with pytest.raises(FusionError, match="other should compute in bf16, but the models are mean"):
        open_models(["mean"], in_bf16=["other"])


def test_rows_may_come_from_the_card_of_unchanged_weights(sets, tmp_path, monkeypatch):
    models = quality.open_models(["fsidfusion-light", "maximum"])
    results = quality.Quality(sets[:1], models, tmp_path).run()
    means = dict(results[0].evaluations[0].mean)
    card = {"scores": {"weights_sha256": models[0].weights, "sets": {results[0].pairs.name: means}}}
    monkeypatch.setattr("fsidfusion.network.names.model_card", lambda name: card)
    (kept,) = quality.with_card_rows(results, ["fsidfusion-light"])
    assert kept.from_cards[0].means == pytest.approx(means, nan_ok=True)
    card["scores"]["weights_sha256"] = "other"
    with pytest.raises(FusionError, match="score it instead"):
        quality.with_card_rows(results, ["fsidfusion-light"])
