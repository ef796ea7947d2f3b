import pickle
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from fsidfusion.errors import InputError
from fsidfusion.images import storage
from fsidfusion.images.pairs import match_pairs
from fsidfusion.images.storage import (
    Address,
    as_place,
    fetch,
    is_address,
    is_there,
    listed,
    present,
    put,
)

fsspec = pytest.importorskip("fsspec")


@pytest.fixture
def store():
    """A store in memory, empty."""
    system = fsspec.filesystem("memory")
    system.store.clear()
    system.pseudo_dirs[:] = [""]
    yield system
    system.store.clear()


def test_an_address_is_named_as_a_path_and_stays_one():
    place = as_place("S3://bucket/night/1.png")
    assert str(place) == "s3://bucket/night/1.png" and is_address(place)
    assert (place.name, place.stem, place.suffix) == ("1.png", "1", ".png")
    assert str(place.parent / "2.png") == "s3://bucket/night/2.png"
    assert pickle.loads(pickle.dumps(place)) == place and is_address(pickle.loads(pickle.dumps(place)))
    assert str(place.relative_to(Address("s3://bucket"))) == "night/1.png"


@pytest.mark.parametrize("text", ["C:/pictures/1.png", "pictures/1.png", "/s3/x.png", "s3:/b/x.png"])
def test_paths_are_no_addresses(text):
    assert not is_address(text) and as_place(text) == Path(text)


def test_a_file_address_is_a_path():
    assert as_place("file:///tmp/x.png") == Path("/tmp/x.png")


@pytest.mark.parametrize("text", ["s3://", "hdfs:///user/x.png", "s3://b//x.png", "zip://x::s3://b/x.png"])
def test_addresses_of_nothing_are_refused(text):
    with pytest.raises(InputError, match="is no address of a file or folder"):
        as_place(text)


def test_an_unknown_store_is_one_line():
    with pytest.raises(InputError, match=r"nowhere://a/b is in no store that can be reached"):
        is_there(as_place("nowhere://a/b"))


def test_what_lies_in_a_folder_is_listed(store):
    for name in ("a.png", "b_ir.png", "note.txt", "sub/c.png"):
        store.pipe_file(f"/set/{name}", b"x")
    named = [below for _, below in listed("memory://set", recursive=False)]
    assert named == ["a.png", "b_ir.png", "note.txt"]
    assert [below for _, below in listed("memory://set/", recursive=True)] == [*named, "sub/c.png"]
    assert listed("memory://set/*_ir.png", False) == [(Address("memory://set/b_ir.png"), "b_ir.png")]
    assert listed("memory://set/any.png", False) == [(Address("memory://set/any.png"), "any.png")]
    assert listed("memory://none", False) == []


def test_pairs_are_matched_in_stores_as_on_disks(store, tmp_path):
    for side in ("ir", "vis"):
        (tmp_path / side).mkdir()
        for name in ("1.png", "2.png"):
            store.pipe_file(f"/set/{side}/{name}", b"x")
            store.pipe_file(f"/flat/{name[0]}_{side}.png", b"x")
            (tmp_path / side / name).write_bytes(b"x")
    found = match_pairs(["memory://set/ir"], ["memory://set/vis"])
    assert [(p.name, str(p.visible)) for p in found.pairs] == [
        ("1", "memory://set/vis/1.png"),
        ("2", "memory://set/vis/2.png"),
    ]
    globs = match_pairs(["memory://flat/*_ir.png"], ["memory://flat/*_vis.png"])
    assert [(p.name, p.infrared.name) for p in globs.pairs] == [("1", "1_ir.png"), ("2", "2_ir.png")]
    mixed = match_pairs([tmp_path / "ir"], ["memory://set/vis"])
    assert [is_address(p.infrared) for p in mixed.pairs] == [False, False]
    single = match_pairs(["memory://set/ir/1.png"], ["memory://set/vis/2.png"])
    assert not single.many and single.pairs[0].visible.name == "2.png"
    with pytest.raises(InputError, match="memory://none holds no picture"):
        match_pairs(["memory://none"], ["memory://set/vis"])


def test_what_is_put_is_there_and_comes_back(store, tmp_path):
    place = as_place("memory://out/deep/1.png")
    assert not is_there(place) and present([place]) == set()
    put(b"picture", place)
    other = place.parent / "2.png"
    put(b"", other)
    assert is_there(place) and not is_there(other)
    assert present([place, other, tmp_path / "3.png"]) == {place}
    fetch(place, tmp_path / "1.png")
    assert (tmp_path / "1.png").read_bytes() == b"picture"


def test_what_is_not_there_or_a_folder_is_one_line(store, tmp_path):
    store.pipe_file("/set/1.png", b"x")
    with pytest.raises(InputError, match=r"memory://set/2.png does not exist; check the address"):
        fetch(as_place("memory://set/2.png"), tmp_path / "x")
    with pytest.raises(InputError, match=r"memory://set is a folder, expected a file"):
        fetch(as_place("memory://set"), tmp_path / "y")


def test_a_transfer_over_the_budget_is_cut_off(store, tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "MAX_FETCHED", 100)
    store.pipe_file("/set/1.png", bytes(101))
    with pytest.raises(InputError, match=r"memory://set/1\.png is over"):
        fetch(as_place("memory://set/1.png"), tmp_path / "x")


def test_elsewhere_than_in_object_stores_a_name_appears_when_all_is_written(store, monkeypatch):
    monkeypatch.setattr(storage, "_WHOLE", ())
    place = as_place("memory://out/1.png")
    put(b"first", place)
    assert store.cat_file("/out/1.png") == b"first"
    whole = type(store).pipe_file

    def half(self, path, value, **options):
        whole(self, path, value[:2])
        raise OSError("the disk is full")

    monkeypatch.setattr(type(store), "pipe_file", half)
    with pytest.raises(InputError, match=r"1.png cannot be written \(OSError: the disk is full\)"):
        put(b"second", place)
    assert store.find("/out") == ["/out/1.png"]
    assert store.cat_file("/out/1.png") == b"first"


def test_the_web_is_read_and_never_written(tmp_path):
    pytest.importorskip("aiohttp")
    (tmp_path / "1.png").write_bytes(b"picture")

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        root = f"http://127.0.0.1:{server.server_port}"
        fetch(as_place(f"{root}/1.png"), tmp_path / "copy")
        fetch(as_place(f"{root}/1.png?token=x"), tmp_path / "again")
        with pytest.raises(InputError, match=r"2.png does not exist"):
            fetch(as_place(f"{root}/2.png"), tmp_path / "none")
        server.shutdown()
    assert (tmp_path / "copy").read_bytes() == (tmp_path / "again").read_bytes() == b"picture"
    with pytest.raises(InputError, match="the web is only read"):
        put(b"x", as_place("https://host/out/1.png"))
