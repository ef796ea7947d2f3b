import pytest

from fsidfusion.errors import InputError
from fsidfusion.images import manifest
from fsidfusion.images.manifest import read_manifest, write_table
from fsidfusion.images.storage import as_place

ROWS = {
    "visible": ["v/1.png", "s3://b/2.tif"],
    "output": ["night/1", "2.jpg"],
    "infrared": ["i/1.png", "s3://b/3.tif"],
}


def written(tmp_path, columns, kind=".csv"):
    if kind == ".parquet":
        pytest.importorskip("pyarrow")
    write_table(tmp_path / f"m{kind}", columns)
    return tmp_path / f"m{kind}"


@pytest.mark.parametrize("kind", [".csv", ".parquet"])
def test_a_table_names_pairs_and_results(kind, tmp_path):
    found = read_manifest(written(tmp_path, {**ROWS, "label": ["x", "y"]}, kind))
    assert [(str(p.infrared), str(p.visible)) for p in found.pairs] == [
        ("i/1.png", "v/1.png"),
        ("s3://b/3.tif", "s3://b/2.tif"),
    ]
    assert (found.outputs, found.task, found.modality) == (("night/1", "2.jpg"), "thermal", "infrared")


@pytest.mark.parametrize("kind", [".csv", ".parquet"])
@pytest.mark.parametrize("modality", ["ct", "pet", "spect"])
def test_a_table_of_scans(kind, modality, tmp_path):
    found = read_manifest(written(tmp_path, {"mri": ["m/a.png"], modality: ["o/b.png"]}, kind))
    assert (str(found.pairs[0].infrared), str(found.pairs[0].visible)) == ("o/b.png", "m/a.png")
    assert (found.outputs, found.task, found.modality) == (("a",), "medical", modality)


def test_a_table_in_a_store(tmp_path):
    fsspec = pytest.importorskip("fsspec")
    place = as_place("memory://tables/m.csv")
    write_table(place, ROWS)
    assert read_manifest(place).outputs == ("night/1", "2.jpg")
    fsspec.filesystem("memory").rm("/tables", recursive=True)


@pytest.mark.parametrize(
    "columns, words",
    [
        ({"visible": ["1.png"]}, "has the columns visible; expected infrared and visible"),
        ({"infrared": ["1"], "visible": ["2"], "mri": ["3"], "ct": ["4"]}, "expected infrared and visible"),
        ({"infrared": ["1.png"], "visible": [""]}, "row 2: a cell is empty or no path"),
        ({"infrared": ["1.png"], "visible": ["x" * 5000]}, "no path|over 4096 characters"),
        ({**ROWS, "output": ["a", "../b"]}, r"row 3: output '../b' leaves the output folder"),
        ({**ROWS, "output": ["a", "."]}, r"row 3: output '.' would be hidden"),
        ({**ROWS, "output": ["a", "b/.c"]}, r"row 3: output 'b/.c' would be hidden"),
        ({**ROWS, "output": ["/etc/x", "b"]}, r"row 2: output '/etc/x' leaves the output folder"),
        ({**ROWS, "output": ["s3://other/x", "b"]}, "leaves the output folder"),
        ({"infrared": [], "visible": []}, "has no rows"),
    ],
)
@pytest.mark.parametrize("kind", [".csv", ".parquet"])
def test_what_is_wrong_with_a_table_is_one_line(columns, words, kind, tmp_path):
    if kind == ".parquet" and not columns["visible"]:
        pytest.skip("columns without rows have no type")
    with pytest.raises(InputError, match=words):
        read_manifest(written(tmp_path, columns, kind))


def test_files_that_are_no_table(tmp_path):
    pytest.importorskip("pyarrow")
    (tmp_path / "x.parquet").write_bytes(b"PAR1 nothing of it PAR1")
    (tmp_path / "x.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"x.parquet is no sound Parquet file"):
        read_manifest(tmp_path / "x.parquet")
    with pytest.raises(InputError, match=r"x.csv is no manifest"):
        read_manifest(tmp_path / "x.csv")
    with pytest.raises(InputError, match=r"x.parq does not exist|has no known kind"):
        read_manifest(tmp_path / "x.parq")
    with pytest.raises(InputError, match=r"none.parquet does not exist"):
        read_manifest(tmp_path / "none.parquet")


def test_numbers_are_no_paths(tmp_path):
    with pytest.raises(InputError, match="no path"):
        read_manifest(written(tmp_path, {"infrared": [1], "visible": [2]}, ".parquet"))


@pytest.mark.parametrize("kind", [".csv", ".parquet"])
def test_too_many_rows_are_refused(kind, tmp_path, monkeypatch):
    path = written(tmp_path, ROWS, kind)
    monkeypatch.setattr(manifest, "MAX_ROWS", 1)
    with pytest.raises(InputError, match="rows"):
        read_manifest(path)


def test_one_long_text_for_all_rows_of_a_packed_table_is_never_unpacked(tmp_path):
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    rows = 200_000
    long = arrow.array(["x" * 100_000]).dictionary_encode()
    column = arrow.DictionaryArray.from_arrays(arrow.array([0] * rows, arrow.int32()), long.dictionary)
    parquet.write_table(arrow.table({"infrared": column, "visible": column}), tmp_path / "m.parquet")
    assert (tmp_path / "m.parquet").stat().st_size < 1 << 20  # of 40 GB
    with pytest.raises(InputError, match="over 4096 characters"):
        read_manifest(tmp_path / "m.parquet")
