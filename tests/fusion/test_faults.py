"""Faults injected into a run: what happens to one pair, or to the disk, stays there."""

import errno

import numpy as np
import pytest

from fsidfusion.errors import InputError
from fsidfusion.fusion import files as folder
from fsidfusion.fusion import outputs as outputs_module
from fsidfusion.fusion.files import fuse_pairs
from fsidfusion.fusion.fuser import Fuser
from fsidfusion.fusion.outputs import check_outputs, output_paths
from fsidfusion.fusion.plan import Plan
from fsidfusion.images import atomic
from fsidfusion.images.files import Picture, write_picture
from fsidfusion.images.pairs import Pair, match_pairs

BAD = "2"  # the pair that the fault meets


@pytest.fixture
def pairs(tmp_path):
    chance = np.random.default_rng(0)
    for number in range(5):
        write_picture(tmp_path / f"ir/{number}.png", Picture(chance.integers(0, 256, (24, 32), np.uint8)))
        write_picture(tmp_path / f"vi/{number}.png", Picture(chance.integers(0, 256, (24, 32, 3), np.uint8)))
    return match_pairs([tmp_path / "ir"], [tmp_path / "vi"]).pairs


def run(pairs, tmp_path, **plan):
    outputs = output_paths(pairs, str(tmp_path / "out"), many=True)
    found = fuse_pairs(Fuser("maximum"), pairs, outputs, Plan(**plan))
    return {outcome.pair.name: outcome for outcome in found}


def check_alone(found, tmp_path):
    """The bad pair failed in one line, the others are written, and nothing else lies there."""
    assert found[BAD].status == "failed"
    assert len(found[BAD].message.splitlines()) == 1
    assert all(outcome.status == "fused" for name, outcome in found.items() if name != BAD)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["0.png", "1.png", "3.png", "4.png"]


@pytest.mark.parametrize(
    "error", [RuntimeError("odd\nlines"), OSError(errno.EIO, "I/O error"), MemoryError()]
)
def test_whatever_reading_raises_is_the_failure_of_its_pair(pairs, tmp_path, monkeypatch, error):
    whole = folder.read_picture

    def read(path, *rest):
        if path.stem == BAD:
            raise error
        return whole(path, *rest)

    monkeypatch.setattr(folder, "read_picture", read)
    check_alone(run(pairs, tmp_path), tmp_path)


def test_a_file_that_vanishes_between_its_header_and_its_pixels(pairs, tmp_path, monkeypatch):
    whole = folder.read_header

    def read(path, *rest):
        header = whole(path, *rest)
        if path.stem == BAD:
            path.unlink()
        return header

    monkeypatch.setattr(folder, "read_header", read)
    found = run(pairs, tmp_path)
    check_alone(found, tmp_path)
    assert "does not exist" in found[BAD].message


def test_a_file_that_becomes_another_between_its_header_and_its_pixels(pairs, tmp_path, monkeypatch):
    whole = folder.read_header

    def read(path, *rest):
        header = whole(path, *rest)
        if path.stem == BAD:
            write_picture(path, Picture(np.zeros((48, 64, 3), np.uint8)))
        return header

    monkeypatch.setattr(folder, "read_header", read)
    check_alone(run(pairs, tmp_path), tmp_path)


@pytest.mark.parametrize("step", ["create", "sync", "rename"])
def test_a_disk_that_is_full_for_one_pair(pairs, tmp_path, monkeypatch, step):
    steps = []

    def full(name):
        steps.append(name)
        if name == step and steps.count(step) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(atomic, "_step", full)
    found = run(pairs, tmp_path)
    failed = [outcome for outcome in found.values() if outcome.status == "failed"]
    assert len(failed) == 1
    assert "No space left" in failed[0].message
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {f"{name}.png" for name in "01234"} - {f"{failed[0].pair.name}.png"}


def test_an_empty_file_is_no_result_and_a_whole_one_is(pairs, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "1.png").touch()
    (out / "3.png").write_bytes(b"mine")
    found = run(pairs, tmp_path)
    assert [found[name].status for name in "01234"] == ["fused", "fused", "fused", "skipped", "fused"]
    assert (out / "3.png").read_bytes() == b"mine"


def test_a_folder_at_the_name_of_an_output_is_said_before_anything_is_written(pairs, tmp_path):
    (tmp_path / "out/1.png").mkdir(parents=True)
    with pytest.raises(InputError, match=r"1\.png is a folder"):
        run(pairs, tmp_path)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["1.png"]


@pytest.mark.parametrize("place", ["ir", "vi", "ir/../vi"])
def test_results_do_not_go_where_inputs_come_from(pairs, tmp_path, place):
    outputs = output_paths(pairs, str(tmp_path / place), many=True, extension=".tif")
    with pytest.raises(InputError, match="holds inputs"):
        check_outputs(pairs, outputs)


def test_names_that_a_disk_takes_for_one_are_refused(tmp_path, monkeypatch):
    def pairs(*names):
        return [Pair(name, tmp_path / f"ir/{name}.png", tmp_path / f"vi/{name}.png") for name in names]

    names = [tmp_path / "out/A.png", tmp_path / "out/b.png", tmp_path / "out/a.png"]
    check_outputs(pairs("A", "b", "a"), names)  # two files here
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(outputs_module, "_ignores_case", lambda folder: True)
    with pytest.raises(InputError, match=r"A\.png and \S+a\.png are one file on this disk"):
        check_outputs(pairs("A", "b", "a"), names)
    check_outputs(pairs("A", "b"), names[:2])


def test_below_inputs_only_where_these_are_not_looked_for_there(tmp_path):
    def pairs(*names):
        return [Pair(name, tmp_path / f"ir/{name}.png", tmp_path / f"vi/{name}.png") for name in names]

    below = [tmp_path / f"ir/out/{number}.png" for number in range(2)]
    (tmp_path / "ir").mkdir()
    check_outputs(pairs("a", "b"), below)
    with pytest.raises(InputError, match="holds inputs"):
        check_outputs(pairs("day/a", "day/b"), below)


@pytest.mark.parametrize("name", ["x" * 300, "a\0b"], ids=["long", "zero"])
def test_impossible_names_are_refused_in_one_line(pairs, tmp_path, name):
    try:
        (outcome,) = fuse_pairs(Fuser("maximum"), pairs[:1], [tmp_path / name / "a.png"], Plan())
        said = outcome.message
    except InputError as error:
        said = str(error)
    assert len(said.splitlines()) == 1


def test_links_in_a_circle_are_refused_in_one_line(pairs, tmp_path):
    loop = tmp_path / "loop.png"
    loop.symlink_to(loop)
    with pytest.raises(InputError, match="cannot be a place"):
        fuse_pairs(Fuser("maximum"), pairs[:1], [loop], Plan())
    found = fuse_pairs(Fuser("maximum"), [Pair("a", loop, pairs[0].visible)], [tmp_path / "out.png"], Plan())
    assert found[0].status == "failed"


class Full:
    """A container on a disk that has no room left after some packets."""

    def __init__(self, container, room):
        self.container, self.room = container, room

    def __getattr__(self, name):
        return getattr(self.container, name)

    def mux(self, packet):
        self.room -= 1
        if self.room < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.container.mux(packet)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("room", [0, 200])
def test_a_video_keeps_what_found_room(tmp_path, suffix, room):
    av = pytest.importorskip("av")
    from fractions import Fraction

    from fsidfusion.fusion.video_files import VideoWriter

    path = tmp_path / f"x{suffix}"
    writer = VideoWriter(path, (48, 64), Fraction(25))
    writer._container = Full(writer._container, room)
    chance = np.random.default_rng(0)
    with pytest.raises(OSError, match="No space"):
        for number in range(600):
            writer.write(chance.integers(0, 256, (48, 64, 3), np.uint8), number / 25)
    with pytest.raises(OSError, match="No space"):
        writer.close()
    assert writer.kept == (room > 0) == path.exists()
    assert [file.name for file in tmp_path.iterdir()] == ([path.name] if room else [])
    if room:
        with av.open(str(path)) as kept:
            assert 50 < sum(1 for _ in kept.decode(video=0)) <= room
