import json

import pytest

from fsidfusion.evaluation import published
from fsidfusion.evaluation.published import BEST, COLUMNS, REFERENCE, cells_won, published_rows, stands


def test_tables_are_those_of_the_release(golden_root):
    golden = json.loads((golden_root / "published.json").read_text())
    assert golden["columns"] == list(COLUMNS)
    assert list(published.published_sets()) == list(golden["fusion"])
    for name, rows in golden["fusion"].items():
        ours = published_rows(name)
        assert [list(row.values()) for row in ours.values()] == [
            *rows.values(),
            golden["best_of_each_column"][name],
        ]
        assert published.published_pairs(name) == golden["pairs"][name]


@pytest.mark.parametrize("name", published.published_sets())
def test_the_best_row_is_the_best_of_each_column(name):
    rows = published_rows(name)
    best = rows.pop(BEST)
    assert best == {metric: max(row[metric] for row in rows.values()) for metric in COLUMNS}
    assert REFERENCE in rows


@pytest.mark.parametrize(
    "score, printed, verdict",
    [
        (0.599, 0.60, "equal"),
        (0.6049, 0.60, "equal"),
        (0.606, 0.60, "above"),
        (0.594, 0.60, "below"),
        (7.14, 7.14, "equal"),
        (float("nan"), 0.1, "below"),
    ],
)
def test_comparison_is_at_two_decimals(score, printed, verdict):
    assert stands(score, printed) == verdict


def test_cells():
    row = published_rows("TNO")[REFERENCE]
    assert cells_won(row, row) == len(COLUMNS)
    assert cells_won({metric: value - 0.01 for metric, value in row.items()}, row) == 0
    assert cells_won({**row, "MI": 0.0}, row) == len(COLUMNS) - 1
    assert cells_won({"MI": 9.9, "CC": 1.0}, row) == 1


def test_names_in_any_case():
    assert published.canonical_name("roadscene") == "RoadScene"
    assert published.canonical_name("mri_pet") == "MRI_PET"
    assert published.canonical_name("M3FD") is None
    assert published_rows("M3FD") == {}
