"""Tables of pairs, stores and limits of failures from the command line; Ray itself is in test_cluster."""

import json
import sys

import numpy as np
import pytest

from fsidfusion.cli import main
from fsidfusion.images.files import Picture, read_picture, write_picture
from fsidfusion.images.manifest import read_manifest, write_table


def image(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The working folder, with five pairs."""
    for i in range(5):
        write_picture(tmp_path / "ir" / f"{i}.png", Picture(image(20, 30, seed=i)))
        write_picture(tmp_path / "vis" / f"{i}.png", Picture(image(20, 30, 3, seed=i + 9)))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def table(path, numbers, **more):
    write_table(
        path,
        {
            "infrared": [f"ir/{i}.png" for i in numbers],
            "visible": [f"vis/{i}.png" for i in numbers],
            **more,
        },
    )
    return str(path)


def fuse(*words):
    return main(["fuse", "--model", "maximum", *map(str, words)])


def test_a_manifest_is_fused_as_folders_are(place, capfd):
    manifest = table(place / "m.csv", range(5), output=["a/0", "a/1.jpg", "2", "b/3.png", "4"])
    assert fuse("--manifest", manifest, "-o", "out", "--format", "bmp") == 0
    written = sorted(p.relative_to(place / "out").as_posix() for p in (place / "out").rglob("*.*"))
    assert written == ["2.bmp", "4.bmp", "a/0.bmp", "a/1.jpg", "b/3.png"]
    assert fuse("--ir", "ir", "--vis", "vis", "-o", "plain") == 0
    np.testing.assert_array_equal(
        read_picture(place / "out/b/3.png").pixels, read_picture(place / "plain/3.png").pixels
    )
    capfd.readouterr()
    assert fuse("--manifest", manifest, "-o", "out", "--format", "bmp") == 0
    assert "5 existed and were skipped" in capfd.readouterr().out


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_failures_are_a_manifest_of_what_to_try_again(kind, place, capfd):
    if kind == "parquet":
        pytest.importorskip("pyarrow")
    good = (place / "vis/3.png").read_bytes()
    (place / "vis/3.png").write_bytes(b"no picture")
    failures = f"failed.{kind}"
    assert fuse("--ir", "ir", "--vis", "vis", "-o", "out", "--failures", failures) == 1
    assert "vis/3.png is not a picture" in capfd.readouterr().err
    found = read_manifest(place / failures)
    assert [(str(p.infrared), str(p.visible)) for p in found.pairs] == [("ir/3.png", "vis/3.png")]
    assert found.outputs == ("3.png",)
    text = (place / failures).read_bytes()
    assert b"is not a picture of a known kind" in text
    (place / "vis/3.png").write_bytes(good)
    assert fuse("--manifest", failures, "-o", "out", "--failures", failures) == 0
    assert (place / "out/3.png").is_file()
    if kind == "csv":
        assert (place / failures).read_text() == "infrared,visible,output,reason\n"


def test_many_failures_are_counted_on_the_terminal_and_named_in_the_table(place, capfd):
    manifest = table(place / "m.csv", range(20, 40))
    assert fuse("--manifest", manifest, "-o", "out", "--failures", "failed.csv") == 1
    said = capfd.readouterr().err.splitlines()
    assert len(said) == 11
    assert said[-1] == "fsidfusion fuse: and 10 more failed; failed.csv names all, with reasons"
    assert len((place / "failed.csv").read_text().splitlines()) == 21


def test_a_run_stops_when_too_many_pairs_failed(place, capfd):
    manifest = table(place / "m.csv", [*range(10, 14), *range(5)])
    limit = ("--max-failures", 2)
    assert fuse("--manifest", manifest, "-o", "out", *limit, "--failures", "f.csv") == 1
    said = capfd.readouterr()
    assert said.err.splitlines()[-1] == (
        "fsidfusion fuse: stopped: 3 pairs failed, over --max-failures 2; 6 were not tried, and the same line"
        " goes on with them"
    )
    assert len((place / "f.csv").read_text().splitlines()) == 4
    assert fuse("--manifest", manifest, "-o", "out", "--max-failures", 4, "--json") == 1
    summary = json.loads(capfd.readouterr().out)
    assert (summary["fused"], summary["failed"]) == (5, 4)


def test_scans_are_told_apart_in_the_table_of_failures(place, capfd):
    assert fuse("--mri", "ir", "--ct", "ir", "vis/none.png", "-o", "out") == 2  # both sides the same file
    write_picture(place / "ct/0.png", Picture(image(8, 8)))
    assert fuse("--mri", "ir", "--ct", "ct", "-o", "out", "--failures", "f.csv") == 1
    assert (place / "f.csv").read_text().splitlines()[0] == "ct,mri,output,reason"
    assert read_manifest(place / "f.csv").task == "medical"


def test_stores_without_ray(place, capfd):
    fsspec = pytest.importorskip("fsspec")
    system = fsspec.filesystem("memory")
    for side in ("ir", "vis"):
        for i in range(5):
            system.pipe_file(f"/cli/{side}/{i}.png", (place / side / f"{i}.png").read_bytes())
    inputs = ("--ir", "memory://cli/ir", "--vis", "memory://cli/vis")
    assert fuse(*inputs, "-o", "memory://cli/out", "--failures", "memory://cli/failed.csv") == 0
    assert "5 of 5 pairs fused into memory://cli/out" in capfd.readouterr().out
    assert fuse("--ir", "ir", "--vis", "vis", "-o", "out") == 0
    for i in range(5):
        assert system.cat_file(f"/cli/out/{i}.png") == (place / f"out/{i}.png").read_bytes()
    single = ("--ir", "memory://cli/ir/0.png", "--vis", "vis/0.png")
    assert fuse(*single, "-o", "memory://cli/one.png") == 0
    assert system.cat_file("/cli/one.png") == (place / "out/0.png").read_bytes()
    assert main(["evaluate", *inputs, "--model", "maximum"]) == 2
    assert "memory://cli/ir/0.png is in a store, which 'fuse' alone reads" in capfd.readouterr().err
    system.store.clear()


@pytest.mark.parametrize(
    "words, said",
    [
        (["--manifest", "m.csv", "--ir", "ir"], "--manifest stands in place of other inputs"),
        (["--manifest", "none.csv"], "none.csv does not exist"),
        (["--ir", "ir", "--vis", "vis", "--workers", "2"], "--workers are those of Ray; give --on ray, too"),
        (["--ir", "ir", "--vis", "vis", "--on", "spark"], "--on 'spark' is no place to run"),
        (["--ir", "ir", "--vis", "vis", "--max-failures", "-1"], "--max-failures -1: expected 0 or more"),
        (["--mri", "a.nii.gz", "--ct", "b.nii.gz", "--on", "ray"], "options for many pairs"),
    ],
)
def test_what_does_not_go_together_is_one_line(words, said, place, capfd):
    table(place / "m.csv", range(5))
    assert fuse(*words, "-o", "out") == 2
    error = capfd.readouterr().err
    assert said in error and error.count("\n") == 1


def test_a_manifest_goes_to_a_folder(place, capfd):
    table(place / "m.csv", range(5))
    assert fuse("--manifest", "m.csv", "-o", "out.png") == 2
    assert "give a folder" in capfd.readouterr().err


def test_results_of_one_name_are_refused(place, capfd):
    table(place / "m.csv", [0, 1], output=["x", "x.png"])
    assert fuse("--manifest", "m.csv", "-o", "out") == 2
    assert "x.png is named by two pairs" in capfd.readouterr().err


@pytest.mark.parametrize(
    "module, words",
    [
        ("ray", ["--ir", "ir", "--vis", "vis", "-o", "out", "--on", "ray"]),
        ("fsspec", ["--ir", "s3://bucket/ir", "--vis", "vis", "-o", "out"]),
        ("pyarrow", ["--manifest", "m.parquet", "-o", "out"]),
    ],
)
def test_what_is_not_installed_is_one_line(module, words, place, monkeypatch, capfd):
    if module == "pyarrow":
        (place / "m.parquet").write_bytes(b"PAR1")
    for name in [n for n in sys.modules if n == module or n.startswith(f"{module}.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    assert main(["fuse", "--model", "maximum", *words]) == 2
    error = capfd.readouterr().err
    assert f"needs {module}, which is not installed: pip install '.[ray]'" in error
    assert error.count("\n") == 1
