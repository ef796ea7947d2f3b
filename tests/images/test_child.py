"""Calls in a process of their own: what goes wrong there ends there, and in one line."""

import os

import numpy as np
import pytest

from fsidfusion.images.child import Child, ChildFailed

MODULE = "child_calls"


@pytest.fixture
def child():
    made = []

    def make(name):
        made.append(Child(f"{MODULE}:{name}"))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_arrays_come_as_they_are_from_one_process(child):
    found, facts = child("counts").call(5, 6, size=100, seconds=60)
    assert facts == {"first": 5}
    assert found.dtype == np.uint16
    assert found.tolist() == [[5, 6], [7, 8], [9, 10]]
    process = child("process")
    first, second = (int(process.call(size=8, seconds=60)[0][0]) for _ in range(2))
    assert first == second != os.getpid()
    process.close()
    assert process.call(size=8, seconds=60)[0][0] != first


def test_a_process_that_cannot_be_started_is_one_line(child, monkeypatch):
    monkeypatch.setattr("sys.executable", "/absent/python")
    with pytest.raises(ChildFailed, match="no process can be started"):
        child("process").call(size=8, seconds=60)


@pytest.mark.parametrize(
    "name, arguments, seconds, said",
    [
        ("raises", ["odd\nlines"], 60, "odd"),
        ("aborts", [], 60, "ends the program"),
        ("never_ends", [], 2, "takes over 2 s"),
        ("takes_all", [], 60, "memory"),
        ("counts", [0, 1000], 60, "ends the program"),  # more than was asked for
        ("writes", ["/dev/null"], 60, "no array"),
    ],
)
def test_what_goes_wrong_is_one_line_and_the_next_call_works(child, name, arguments, seconds, said):
    bad = child(name)
    for _ in range(2 if name != "never_ends" else 1):
        with pytest.raises(ChildFailed, match=said) as told:
            bad.call(*arguments, size=100, seconds=seconds)
        assert len(str(told.value).splitlines()) == 1
