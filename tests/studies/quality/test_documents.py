import csv
import hashlib
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest

import fsidfusion
from fsidfusion import FusionError
from fsidfusion.evaluation.published import COLUMNS, published_sets
from fsidfusion.evaluation.sets import published_layout
from fsidfusion.evaluation.tables import format_score
from fsidfusion.studies.pages import markers, read_part
from fsidfusion.studies.quality.documents import check_docs, to_csv, to_markdown, write_docs
from fsidfusion.studies.quality.scores import Quality, open_models

ROOT = Path(__file__).resolve().parents[3]
BEGIN, END = markers("results")
QUALITY = "\n".join(markers("quality"))
WEIGHTS = sorted((Path(fsidfusion.__file__).parent / "weights").glob("*.safetensors"))


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    torch = pytest.importorskip("torch")
    from fsidfusion.network.checkpoint import save_weights
    from fsidfusion.network.light import LightFusion

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    save_weights(path, LightFusion(channels=4, width=4, blocks=1))
    return path


@pytest.fixture(scope="module")
def measured(rendered, network, tmp_path_factory):
    models = open_models([str(network), "maximum"], device="cpu")
    sets = published_layout([rendered], ["TNO", "MRI_PET"])
    return Quality(sets, models, tmp_path_factory.mktemp("quality")).run(), models


def test_markdown_holds_every_row(measured, network):
    results, models = measured
    text = to_markdown(results, models)
    assert hashlib.sha256(network.read_bytes()).hexdigest() in text
    tno, pet = text.split("### TNO")[1].split("### MRI_PET")
    assert "4 pairs. The published means are over 25 pairs." in tno
    assert "neighbouring slices" in pet
    assert "neighbouring slices" not in tno
    lines = {line.split("|")[1].strip(): line for line in tno.splitlines() if line.startswith("|")}
    assert {"small", "small, unstretched", "small, min-max", "maximum", "CDDFuse", "FSIDFusion"} <= set(lines)
    for metric, cell in zip(COLUMNS, lines["maximum"].split("|")[2:]):
        value = next(e for e in results[0].evaluations if e.name == "maximum").mean[metric]
        assert cell.strip().removesuffix(" ▲").strip("*") == format_score(metric, value)
    assert lines["FSIDFusion"].split("|")[2].strip() == "7.14"


def test_csv_reads_back(measured):
    rows = list(csv.DictReader(io.StringIO(to_csv(measured[0]))))
    tno = [row for row in rows if row["set"] == "TNO"]
    assert {row["kind"] for row in tno} == {"ours", "baseline", "published", "reference", "best"}
    ours = next(row for row in tno if row["method"] == "small")
    assert float(ours["VIF"]) == measured[0][0].evaluations[0].mean["VIF"]
    assert ours["pairs"] == "4"
    published = next(row for row in tno if row["method"] == "FSIDFusion")
    assert (published["pairs"], published["EN"], published["CC"]) == ("25", "7.14", "")


def test_docs_are_written_between_the_markers(measured, tmp_path, network):
    results, models = measured
    (tmp_path / "README.md").write_text(f"# Title\n\n{BEGIN}\nyesterday\n{END}\n\nThe rest.\n")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "results.md").write_text(f"# Results\n\n{QUALITY}\n\n## Another\n")
    card = tmp_path / "src" / "fsidfusion" / "weights" / "small.json"
    card.parent.mkdir(parents=True)
    card.write_text('{"licence": "MIT", "scores": "none yet"}')
    written = write_docs(tmp_path, results, models)
    assert written == [tmp_path / "README.md", tmp_path / "docs" / "results.md", card]
    readme = (tmp_path / "README.md").read_text()
    assert readme.startswith(f"# Title\n\n{BEGIN}\n")
    assert readme.endswith(f"{END}\n\nThe rest.\n")
    assert "yesterday" not in readme
    page = (tmp_path / "docs" / "results.md").read_text()
    assert page.startswith("# Results\n\n<!-- quality:begin -->\n## Fusion quality\n")
    assert page.endswith("<!-- quality:end -->\n\n## Another\n")
    assert "| TNO | FSIDFusion, published | 7.14 |" in readme
    content = json.loads(card.read_text())
    assert content["licence"] == "MIT"
    assert content["scores"]["weights_sha256"] == hashlib.sha256(network.read_bytes()).hexdigest()
    assert content["scores"]["sets"]["TNO"]["VIF"] == round(results[0].evaluations[0].mean["VIF"], 4)
    assert_fresh(tmp_path, "small", network)
    write_docs(tmp_path, results, models)
    assert (tmp_path / "README.md").read_text() == readme


def test_without_markers_nothing_is_written(measured, tmp_path):
    for text in ("# Title\n", f"{END}\n{BEGIN}\n"):
        (tmp_path / "README.md").write_text(text)
        with pytest.raises(FusionError, match="has no lines <!-- results:begin -->"):
            write_docs(tmp_path, *measured)
        assert [path.name for path in tmp_path.iterdir()] == ["README.md"]


def test_pages_that_would_be_partial_are_refused(measured, rendered, tmp_path):
    sets = published_layout([rendered])
    with pytest.raises(FusionError, match="has no lines"):
        check_docs(tmp_path, sets, measured[1])
    (tmp_path / "README.md").write_text(f"{BEGIN}\n{END}\n")
    with pytest.raises(FusionError, match="has no lines <!-- quality:begin -->"):
        check_docs(tmp_path, sets, measured[1])
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "results.md").write_text(QUALITY)
    with pytest.raises(
        FusionError, match=r"but RoadScene, MRI_CT, MRI_SPECT, .*guided, wavelet would be missing"
    ):
        check_docs(tmp_path, sets, measured[1])
    every = [replace(sets[0], name=name) for name in published_sets()]
    check_docs(tmp_path, every, open_models([]))


def test_sets_without_published_rows(measured):
    results, models = measured
    mine = [replace(results[0], pairs=replace(results[0].pairs, name="mine"))]
    text = to_markdown(mine, models)
    assert "### mine" in text
    assert "Cells won" not in text
    assert "▲ |" not in text
    rows = list(csv.DictReader(io.StringIO(to_csv(mine))))
    assert {row["kind"] for row in rows} == {"ours", "baseline"}
    assert rows[0]["at_least_best"] == ""


@pytest.mark.skipif(not WEIGHTS, reason="no weights are shipped yet")
@pytest.mark.parametrize("weights", WEIGHTS, ids=lambda path: path.stem)
def test_the_pages_tell_of_the_shipped_weights(weights):
    assert_fresh(ROOT, weights.stem, weights)


def assert_fresh(root: Path, name: str, weights: Path):
    """The pages and the card were written for just these weights, and agree in every number."""
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    results = read_part(root / "docs" / "results.md", "quality")
    readme = read_part(root / "README.md", "results")
    scores = json.loads((root / "src" / "fsidfusion" / "weights" / f"{name}.json").read_text("utf-8"))[
        "scores"
    ]
    again = "run: python scripts/write_docs.py quality --data ..."
    assert digest in results, again
    assert digest in readme, again
    assert digest == scores["weights_sha256"], again
    assert scores["sets"]
    name = name.removesuffix("-medical")  # one row with the network's other weights
    for place, means in scores["sets"].items():
        section = results.split(f"## {place}\n")[1].split("\n## ")[0]
        row = next(line for line in section.splitlines() if line.startswith(f"| {name} |"))
        short = next(line for line in readme.splitlines() if line.startswith(f"| {place} | {name} |"))
        for metric, cell, other in zip(COLUMNS, row.split("|")[2:], short.split("|")[3:]):
            shown = float(cell.strip().removesuffix(" ▲").strip("*"))
            assert shown == pytest.approx(means[metric], abs=0.0051), f"{place} {metric}; {again}"
            assert cell == other
