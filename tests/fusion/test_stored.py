from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from fsidfusion.errors import InputError
from fsidfusion.fusion import stored
from fsidfusion.fusion.files import fuse_pairs
from fsidfusion.fusion.fuser import Fuser
from fsidfusion.fusion.outputs import output_paths
from fsidfusion.fusion.plan import Plan
from fsidfusion.fusion.stored import fuse_stored
from fsidfusion.images.files import Picture, write_picture
from fsidfusion.images.pairs import match_pairs
from fsidfusion.images.storage import as_place
from fsidfusion.thermal.reading import Thermal
from radiometric_files import centikelvin, write_deep

fsspec = pytest.importorskip("fsspec")


def maximum(infrared, visible):
    return np.maximum(infrared, visible)


@pytest.fixture
def fuser():
    return Fuser(maximum, range="none")


def image(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def make_pairs(root: Path, number: int) -> None:
    for i in range(number):
        write_picture(root / "ir" / f"{i}.png", Picture(image(20, 30, seed=i)))
        write_picture(root / "vis" / f"{i}.jpg", Picture(image(20, 30, 3, seed=i + 100)))


@pytest.fixture(params=["memory", "s3"])
def root(request, tmp_path):
    """The address of an empty folder in a store, and its system."""
    if request.param == "s3":
        request.getfixturevalue("s3")
    system = fsspec.filesystem(request.param)
    if request.param == "memory":
        system.store.clear()
        system.pseudo_dirs[:] = [""]
    yield f"{request.param}://bucket/case", system
    if request.param == "memory":
        system.store.clear()


def upload(folder: Path, root) -> None:
    address, system = root
    for file in folder.rglob("*.*"):
        place = f"{address}/{file.relative_to(folder).as_posix()}"
        system.pipe_file(system._strip_protocol(place), file.read_bytes())


def content(root, name: str) -> bytes:
    address, system = root
    return system.cat_file(system._strip_protocol(f"{address}/{name}"))


def test_pictures_in_a_store_are_those_of_files_byte_for_byte(root, fuser, tmp_path, monkeypatch):
    monkeypatch.setattr(stored, "TOGETHER", 4)
    make_pairs(tmp_path, 10)
    upload(tmp_path, root)
    pairs = match_pairs([f"{root[0]}/ir/"], [f"{root[0]}/vis/"]).pairs
    outputs = output_paths(pairs, f"{root[0]}/out", many=True)
    seen = []
    outcomes = fuse_stored(fuser, pairs, outputs, progress=seen.append)
    assert [(o.pair, o.output, o.status, o.width) for o in outcomes] == [
        (pair, output, "fused", 30) for pair, output in zip(pairs, outputs)
    ]
    assert sorted(o.pair.name for o in seen) == sorted(p.name for p in pairs)
    local = match_pairs([tmp_path / "ir"], [tmp_path / "vis"]).pairs
    for outcome in fuse_pairs(fuser, local, output_paths(local, str(tmp_path / "out"), many=True)):
        assert content(root, f"out/{outcome.output.name}") == outcome.output.read_bytes()
    again = fuse_stored(fuser, pairs, outputs)
    assert [(o.status, o.message) for o in again] == [("skipped", stored.EXISTS)] * 10
    assert {o.status for o in fuse_stored(fuser, pairs, outputs, Plan(overwrite=True))} == {"fused"}


def test_a_bad_file_is_named_by_its_address_and_stops_no_other(root, fuser, tmp_path):
    make_pairs(tmp_path, 4)
    (tmp_path / "ir" / "1.png").write_bytes(b"no picture")
    (tmp_path / "vis" / "2.jpg").write_bytes((tmp_path / "vis" / "2.jpg").read_bytes()[:-300])
    upload(tmp_path, root)
    pairs = list(match_pairs([f"{root[0]}/ir"], [f"{root[0]}/vis"]).pairs)
    root[1].rm_file(root[1]._strip_protocol(f"{root[0]}/vis/3.jpg"))
    outcomes = fuse_stored(fuser, pairs, output_paths(pairs, f"{root[0]}/out", many=True))
    assert [o.status for o in outcomes] == ["fused", "failed", "failed", "failed"]
    for outcome, name in zip(outcomes[1:], ("ir/1.png is not a picture", "vis/2.jpg", "vis/3.jpg does not")):
        assert f"{root[0]}/{name}" in outcome.message
        assert "/tmp" not in outcome.message and "scratch" not in outcome.message


def test_disks_and_stores_go_together(root, fuser, tmp_path):
    make_pairs(tmp_path, 2)
    upload(tmp_path, root)
    pairs = match_pairs([tmp_path / "ir"], [f"{root[0]}/vis"]).pairs
    to_disk = fuse_stored(fuser, pairs, output_paths(pairs, str(tmp_path / "out"), many=True))
    to_store = fuse_stored(fuser, pairs, output_paths(pairs, f"{root[0]}/out", many=True))
    assert [o.status for o in to_disk + to_store] == ["fused"] * 4
    assert (tmp_path / "out/1.png").read_bytes() == content(root, "out/1.png")


def test_temperatures_are_put_before_their_picture(fuser, tmp_path, monkeypatch):
    (tmp_path / "ir").mkdir()
    write_deep(tmp_path / "ir" / "1.tif", centikelvin(np.full((20, 30), 36.5)))
    write_picture(tmp_path / "vis" / "1.png", Picture(image(20, 30, 3)))
    system = fsspec.filesystem("memory")
    system.store.clear()
    upload(tmp_path, ("memory://warm", system))
    put, order = stored.put, []
    monkeypatch.setattr(stored, "put", lambda data, place: (order.append(place.name), put(data, place)))
    pairs = match_pairs(["memory://warm/ir"], ["memory://warm/vis"]).pairs
    plan = Plan(thermal=Thermal(agc="linear", unit="centikelvin"))
    places = [[as_place(f"memory://warm/out/1.{kind}")] for kind in ("png", "tif")]
    outcomes = fuse_stored(fuser, pairs, places[0], plan, temperatures=places[1])
    assert [o.status for o in outcomes] == ["fused"], outcomes[0].message
    assert order == ["1.tif", "1.png"]
    system.rm_file("/warm/out/1.tif")  # of which the picture alone is there
    assert fuse_stored(fuser, pairs, places[0], plan, temperatures=places[1])[0].status == "fused"
    assert order == ["1.tif", "1.png", "1.tif"]
    system.store.clear()


def test_an_object_that_cannot_be_put_fails_its_pair_alone(root, fuser, tmp_path, monkeypatch):
    make_pairs(tmp_path, 3)
    upload(tmp_path, root)
    pairs = match_pairs([f"{root[0]}/ir"], [f"{root[0]}/vis"]).pairs
    put = stored.put

    def sometimes(data, place):
        if place.stem == "1":
            raise InputError(f"{place} cannot be written (denied)")
        put(data, place)

    monkeypatch.setattr(stored, "put", sometimes)
    outcomes = fuse_stored(fuser, pairs, output_paths(pairs, f"{root[0]}/out", many=True))
    assert [o.status for o in outcomes] == ["fused", "failed", "fused"]
    assert outcomes[1].message == f"{root[0]}/out/1.png cannot be written (denied)"


def test_a_caller_that_stops_leaves_whole_objects_and_no_scratch(root, fuser, tmp_path, monkeypatch):
    monkeypatch.setattr(stored, "TOGETHER", 2)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setattr("tempfile.tempdir", None)
    (tmp_path / "temporary").mkdir()
    make_pairs(tmp_path, 12)
    upload(tmp_path, root)
    pairs = match_pairs([f"{root[0]}/ir"], [f"{root[0]}/vis"]).pairs
    outputs = output_paths(pairs, f"{root[0]}/out", many=True)

    class Enough(Exception):
        pass

    def stop(outcome):
        raise Enough

    with pytest.raises(Enough):
        fuse_stored(fuser, pairs, outputs, progress=stop)
    assert list((tmp_path / "temporary").iterdir()) == []
    counts = Counter(o.status for o in fuse_stored(fuser, pairs, outputs))
    assert counts["skipped"] >= 1 and counts["skipped"] + counts["fused"] == 12


@pytest.mark.parametrize(
    "output, words",
    [
        ("memory://set/ir", "is also an input"),
        ("memory://set/vis", "holds inputs"),
        ("https://host/out", "the web is only read"),
        ("memory://set/x.png", "is a file, but groups of pairs are given"),
    ],
)
def test_places_that_cannot_be_are_refused_before_anything_is_fetched(output, words, fuser, tmp_path):
    make_pairs(tmp_path, 2)
    system = fsspec.filesystem("memory")
    upload(tmp_path, ("memory://set", system))
    pairs = match_pairs(["memory://set/ir"], ["memory://set/vis"]).pairs
    with pytest.raises(InputError, match=words):
        fuse_stored(fuser, pairs, output_paths(pairs, output, many=True))
    system.store.clear()
