"""The one place that writes files, with a fault injected before each of its steps."""

import multiprocessing
import os
import signal
import stat

import pytest

from fsidfusion.errors import InputError
from fsidfusion.images import atomic
from fsidfusion.images.atomic import (
    Part,
    is_written,
    put_in_place,
    scratch_folder,
    temporary_folder,
    whole_file,
    write_text,
)

STEPS = ("create", "sync", "rename", "done")
FORK = multiprocessing.get_context("fork")


def hidden(folder):
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))


def killed_at(step, run, *arguments):
    """Run in a child that is killed, as by ``kill -9``, when it comes to a step."""

    def child():
        atomic._swept.clear()
        atomic._step = lambda name: os.kill(os.getpid(), signal.SIGKILL) if name == step else None
        run(*arguments)

    process = FORK.Process(target=child)
    process.start()
    process.join()
    return process.exitcode


def replace_file(path):
    with whole_file(path) as stream:
        stream.write(b"new" * 1000)


def replace_pair(folder):
    with scratch_folder(folder) as scratch:
        made = [scratch / "m.bin", scratch / "m.xml"]
        for path in made:
            path.write_bytes(b"new")
        put_in_place(made, folder)


def replace_folder(path):
    part = Part(path, folder=True)
    try:
        (part.path / "1").write_bytes(b"new")
        part.commit()
    finally:
        part.close()


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("there", [False, True])
def test_a_kill_at_any_step_leaves_the_old_file_or_the_new_one(tmp_path, step, there):
    path = tmp_path / "a.txt"
    if there:
        path.write_bytes(b"old")
    assert killed_at(step, replace_file, path) == -signal.SIGKILL
    before, after = (b"old" if there else None), b"new" * 1000
    found = path.read_bytes() if path.exists() else None
    assert found == (after if step == "done" else before)


@pytest.mark.parametrize("step", STEPS)
def test_the_next_run_removes_what_a_kill_left_and_nothing_else(tmp_path, step):
    kept = [".hidden", ".fsidfusion-notes.part", f".fsidfusion-{atomic._HOST}-0123456789ab.partial"]
    for name in kept:
        (tmp_path / name).write_bytes(b"the user's")
    killed_at(step, replace_file, tmp_path / "a.txt")
    assert len(hidden(tmp_path)) == len(kept) + (step in ("sync", "rename"))
    atomic._swept.discard(tmp_path)
    replace_file(tmp_path / "b.txt")
    assert hidden(tmp_path) == sorted(kept)


@pytest.mark.parametrize("step", ["create", "sync", "unlink", "rename", "done"])
def test_a_pair_of_files_never_mixes_old_and_new(tmp_path, step):
    for name in ("m.bin", "m.xml"):
        (tmp_path / name).write_bytes(b"old")
    assert killed_at(step, replace_pair, tmp_path) == -signal.SIGKILL
    states = {path.name: path.read_bytes() for path in tmp_path.glob("m.*")}
    if "m.xml" in states:
        assert len(set(states.values())) == 1
    atomic._swept.discard(tmp_path)
    replace_pair(tmp_path)
    assert not hidden(tmp_path)
    assert [path.read_bytes() for path in sorted(tmp_path.glob("m.*"))] == [b"new", b"new"]


@pytest.mark.parametrize("step", STEPS)
def test_a_folder_appears_whole(tmp_path, step):
    assert killed_at(step, replace_folder, tmp_path / "series") == -signal.SIGKILL
    assert (tmp_path / "series").exists() == (step == "done")
    atomic._swept.discard(tmp_path)
    replace_file(tmp_path / "b.txt")
    assert not hidden(tmp_path)


@pytest.mark.parametrize("step", STEPS[:-1])
def test_an_error_at_any_step_leaves_the_old_file_and_no_litter(tmp_path, monkeypatch, step):
    path = tmp_path / "a.txt"
    path.write_bytes(b"old")

    def full(name):
        if name == step:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic, "_step", full)
    with pytest.raises(InputError, match="No space left"):
        write_text(path, "new")
    assert path.read_bytes() == b"old"
    assert not hidden(tmp_path)


def test_what_another_process_writes_is_left_alone(tmp_path):
    ours, theirs = FORK.Pipe()

    def write():
        with whole_file(tmp_path / "a.txt") as stream:
            stream.write(b"theirs")
            theirs.send("begun")
            theirs.recv()

    process = FORK.Process(target=write)
    process.start()
    ours.recv()
    atomic._swept.discard(tmp_path)
    replace_file(tmp_path / "b.txt")
    assert len(hidden(tmp_path)) == 1
    ours.send("go on")
    process.join()
    assert process.exitcode == 0
    assert (tmp_path / "a.txt").read_bytes() == b"theirs"
    assert not hidden(tmp_path)


def test_parts_of_another_machine_are_removed_when_they_are_old(tmp_path):
    new, old = (tmp_path / f".fsidfusion-00000000-{digit * 12}.part" for digit in "12")
    for path in (new, old):
        path.write_bytes(b"part")
    os.utime(old, (0, 0))
    atomic.remove_old_parts(tmp_path)
    assert hidden(tmp_path) == [new.name]


def test_contents_are_on_the_disk_before_the_name_is(tmp_path, monkeypatch):
    order = []
    monkeypatch.setattr(atomic, "_step", order.append)
    synced = atomic._sync
    monkeypatch.setattr(atomic, "_sync", lambda path: (order.append(path.suffix or "folder"), synced(path)))
    replace_file(tmp_path / "a.txt")
    assert order == ["create", "sync", ".part", "rename", "folder", "done"]


def test_what_counts_as_written(tmp_path):
    (tmp_path / "empty").touch()
    (tmp_path / "whole").write_bytes(b"1")
    (tmp_path / "link").symlink_to(tmp_path / "link")
    names = ("empty", "whole", "link", "absent", "x" * 300, "zero\0")
    assert [name for name in names if is_written(tmp_path / name)] == ["whole"]
    assert not is_written(tmp_path)


def test_a_program_that_ends_at_once_can_leave_nothing(tmp_path):
    part = Part(tmp_path / "a.txt")
    atomic.discard_parts()
    assert not hidden(tmp_path)
    part.close()


def test_a_temporary_folder_that_a_kill_left_goes_with_the_next_one(tmp_path, monkeypatch):
    def killed():
        with temporary_folder(str(tmp_path)) as folder:
            (folder / "deep").mkdir()
            (folder / "deep" / "patient.png").write_bytes(b"x")
            os.kill(os.getpid(), signal.SIGKILL)

    process = FORK.Process(target=killed)
    process.start()
    process.join()
    (left,) = tmp_path.iterdir()
    assert len(left.name) < 24  # Ray has sockets in it, whose paths are bounded
    monkeypatch.setattr(atomic, "_swept", set())
    with temporary_folder(str(tmp_path)) as folder:
        assert list(tmp_path.iterdir()) == [folder]
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        monkeypatch.setattr(atomic, "_swept", set())
        with temporary_folder(str(tmp_path)) as other:
            assert sorted(tmp_path.iterdir()) == sorted([folder, other])
    assert not list(tmp_path.iterdir())


def test_files_have_the_rights_that_the_user_gives(tmp_path):
    old = os.umask(0o027)
    try:
        replace_file(tmp_path / "a.txt")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o640


@pytest.mark.parametrize("step", ["sync", "rename", "aside", "done"])
@pytest.mark.parametrize("exchange", [True, False])
def test_a_folder_is_replaced_whole_and_the_earlier_one_never_lost(tmp_path, monkeypatch, step, exchange):
    series = tmp_path / "series"
    series.mkdir()
    (series / "0").write_bytes(b"old")
    if not exchange:
        monkeypatch.setattr(atomic.ctypes, "CDLL", lambda *_, **__: object())
    status = killed_at(step, replace_folder, series)
    assert status == (0 if exchange and step == "aside" else -signal.SIGKILL)
    seen = [path for path in tmp_path.iterdir() if not path.name.startswith(".")]
    contents = {tuple(sorted(file.read_bytes() for file in path.iterdir())) for path in seen}
    assert (b"old",) in contents or (b"new",) in contents
    assert contents <= {(b"old",), (b"new",)}
    atomic._swept.discard(tmp_path)
    replace_folder(series)
    assert [file.name for file in series.iterdir()] == ["1"]
    assert not hidden(tmp_path)
