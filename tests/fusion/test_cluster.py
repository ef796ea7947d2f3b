"""Pairs by workers of Ray: on this machine, two of them, in one session for all tests."""

import os
import signal
from collections import Counter
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest

from fsidfusion.errors import InputError
from fsidfusion.fusion import cluster as room
from fsidfusion.fusion.cluster import Cluster, fuse_on_ray
from fsidfusion.fusion.files import fuse_pairs
from fsidfusion.fusion.fuser import Fuser
from fsidfusion.fusion.outputs import output_paths
from fsidfusion.fusion.plan import Plan
from fsidfusion.images.files import Picture, write_picture
from fsidfusion.images.pairs import match_pairs

pytestmark = pytest.mark.slow
TWO = Cluster(workers=2)


@pytest.fixture(scope="module")
def session(s3_server):
    """A Ray of this machine, whose workers find the S3 of the tests."""
    pytest.importorskip("ray", reason="ray is not installed")
    names = {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": s3_server,
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in names.items():
            patch.setenv(name, value)
        with room._session(Cluster(workers=2)) as ray:
            yield ray
    assert not ray.is_initialized()


def make_pairs(root: Path, number: int, size=(24, 32)) -> list:
    for i in range(number):
        random = np.random.default_rng(i)
        infrared, visible = (random.integers(0, 256, shape, np.uint8) for shape in (size, (*size, 3)))
        write_picture(root / "ir" / f"{i:03}.png", Picture(infrared))
        write_picture(root / "vis" / f"{i:03}.png", Picture(visible))
    return list(match_pairs([root / "ir"], [root / "vis"]).pairs)


def places(root, pairs, name="out"):
    return output_paths(pairs, str(root / name), many=True)


def workers() -> list[psutil.Process]:
    """The processes below this one that fuse."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):  # it has ended
            if "MapWorker" in " ".join(process.cmdline()):
                found.append(process)
    return found


def test_pictures_are_those_of_one_machine_byte_for_byte_and_what_exists_is_skipped(session, tmp_path):
    pairs = make_pairs(tmp_path, 12)
    (tmp_path / "vis/003.png").write_bytes(b"no picture")
    outputs = places(tmp_path, pairs)
    seen = []
    outcomes, machine = fuse_on_ray({}, pairs, outputs, progress=seen.append, cluster=TWO)
    expected = fuse_pairs(Fuser(), pairs, places(tmp_path, pairs, "here"))
    assert [(o.pair, o.output, o.height, o.width) for o in outcomes] == [
        (e.pair, output, e.height, e.width) for e, output in zip(expected, outputs)
    ]
    assert [(o.status, o.message) for o in outcomes] == [(e.status, e.message) for e in expected]
    assert Counter(o.status for o in seen) == {"fused": 11, "failed": 1}
    fuser = Fuser()
    assert (machine.device, machine.precision, machine.runtime) == (
        fuser.device,
        fuser.precision,
        fuser.runtime,
    )
    for outcome, other in zip(outcomes, expected):
        if other.status == "fused":
            assert outcome.output.read_bytes() == other.output.read_bytes()
    outputs[5].unlink()
    again, _ = fuse_on_ray({"model": "maximum"}, pairs, outputs, cluster=TWO)
    assert Counter(o.status for o in again) == {"skipped": 10, "fused": 1, "failed": 1}
    assert again[5].status == "fused" and outputs[5].read_bytes() != expected[5].output.read_bytes()


def test_a_killed_worker_loses_nothing_and_does_nothing_twice(session, tmp_path, monkeypatch):
    monkeypatch.setattr(room, "TOGETHER", 4)
    pairs = make_pairs(tmp_path, 120)
    outputs = places(tmp_path, pairs)
    killed, seen = [], Counter()

    def kill_one(outcome):
        seen[outcome.pair.name] += 1
        if len(seen) > 8 and not killed:
            killed.append(workers()[0].pid)
            os.kill(killed[0], signal.SIGKILL)

    outcomes, _ = fuse_on_ray({"model": "maximum"}, pairs, outputs, progress=kill_one, cluster=TWO)
    assert killed and all(process.pid != killed[0] for process in workers())
    assert seen == Counter(pair.name for pair in pairs)
    assert [(o.pair, o.status, o.message) for o in outcomes] == [(pair, "fused", "") for pair in pairs]
    fuse_pairs(Fuser("maximum"), pairs, places(tmp_path, pairs, "here"))
    for output in outputs:
        assert output.read_bytes() == (tmp_path / "here" / output.name).read_bytes()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [p.name for p in outputs]


def test_a_pair_that_takes_its_workers_with_it_fails_alone(session, tmp_path, monkeypatch):
    monkeypatch.setattr(room, "TOGETHER", 4)
    monkeypatch.setattr(room, "_TRIES", 1)
    pairs = make_pairs(tmp_path, 8)
    write_picture(pairs[5].infrared, Picture(np.full((24, 32), 77, np.uint8)))

    def deadly(infrared, visible):
        if np.ptp(infrared) == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return np.maximum(infrared, visible)

    outcomes, _ = fuse_on_ray({"model": deadly}, pairs, places(tmp_path, pairs), cluster=TWO)
    assert [o.status for o in outcomes] == ["fused"] * 5 + ["failed"] + ["fused"] * 2
    assert str(pairs[5].visible) in outcomes[5].message and "died" in outcomes[5].message


def test_a_model_that_no_worker_can_load_is_one_error(session, tmp_path):
    pairs = make_pairs(tmp_path, 2)
    with pytest.raises(InputError, match="no network or file is named 'nobody'"):
        fuse_on_ray({"model": "nobody"}, pairs, places(tmp_path, pairs), cluster=Cluster(workers=1))


def test_objects_in_s3(session, s3, tmp_path):
    fsspec = pytest.importorskip("fsspec")
    system = fsspec.filesystem("s3", skip_instance_cache=True)
    pairs = make_pairs(tmp_path, 6)
    for pair in pairs:
        system.pipe_file(f"bucket/ir/{pair.name}.png", pair.infrared.read_bytes())
        system.pipe_file(f"bucket/vis/{pair.name}.png", pair.visible.read_bytes())
    system.pipe_file("bucket/ir/002.png", b"no picture")
    found = match_pairs(["s3://bucket/ir"], ["s3://bucket/vis"]).pairs
    outputs = output_paths(found, "s3://bucket/out", many=True)
    outcomes, _ = fuse_on_ray({"model": "maximum"}, found, outputs, cluster=TWO)
    assert [o.status for o in outcomes] == ["fused"] * 2 + ["failed"] + ["fused"] * 3
    assert outcomes[2].message.startswith("s3://bucket/ir/002.png is not a picture")
    fuse_pairs(Fuser("maximum"), pairs, places(tmp_path, pairs, "here"))
    for output in outputs[:2] + outputs[3:]:
        assert system.cat_file(str(output)) == (tmp_path / "here" / output.name).read_bytes()


def test_a_caller_that_stops_ends_the_workers(session, tmp_path, monkeypatch):
    monkeypatch.setattr(room, "TOGETHER", 1)
    pairs = make_pairs(tmp_path, 6)

    class Enough(Exception):
        pass

    def stop(outcome):
        raise Enough

    with pytest.raises(Enough):
        fuse_on_ray({"model": "maximum"}, pairs, places(tmp_path, pairs), progress=stop, cluster=TWO)
    psutil.wait_procs(workers(), timeout=20)
    assert workers() == []


def test_nothing_is_started_where_nothing_is_left_to_do(tmp_path, monkeypatch):
    pairs = make_pairs(tmp_path, 3)
    fuse_pairs(Fuser("maximum"), pairs, places(tmp_path, pairs))
    monkeypatch.setattr(room, "_session", None)
    outcomes, _ = fuse_on_ray({"model": "maximum"}, pairs, places(tmp_path, pairs))
    assert [o.status for o in outcomes] == ["skipped"] * 3


@pytest.mark.parametrize("address", ["rays", "ray://host", "http://host:80", "ray://:x"])
def test_a_place_that_is_no_ray_is_refused(address):
    with pytest.raises(InputError, match=r"expected ray or ray://HOST:PORT"):
        Cluster(address)


@pytest.mark.parametrize("wrong", [{"workers": 0}, {"threads": 0}])
def test_no_workers_are_refused(wrong):
    with pytest.raises(InputError, match="expected 1 or more"):
        Cluster(**wrong)


def test_overwriting_does_all_again(session, tmp_path):
    pairs = make_pairs(tmp_path, 3)
    outputs = places(tmp_path, pairs)
    fuse_pairs(Fuser("mean"), pairs, outputs)
    before = [output.read_bytes() for output in outputs]
    again, _ = fuse_on_ray(
        {"model": "maximum"}, pairs, outputs, Plan(overwrite=True), cluster=Cluster(workers=1)
    )
    assert [o.status for o in again] == ["fused"] * 3
    assert all(output.read_bytes() != old for output, old in zip(outputs, before))
