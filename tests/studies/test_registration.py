"""The study of registration: what it moves, and the table it prints."""

import numpy as np
import pytest

from fsidfusion.errors import InputError
from fsidfusion.fusion.volumes.register import Registered, motion
from fsidfusion.studies import registration
from fsidfusion.studies.registration import cases, measure, motions, to_markdown
from volume_files import head


def test_motions_are_within_their_bounds_about_a_point():
    centre = np.array([10.0, -20, 30])
    found = list(motions(8, centre, seed=1))
    for known in found:
        shift = np.linalg.norm(known[:3, :3] @ centre + known[:3, 3] - centre)
        assert 5 <= shift <= 30 and 5 <= motion(known)[1] <= 20
    assert not np.allclose(found[0], found[1])


def test_cut_and_coarser_volumes_lie_where_they_lay():
    """A ramp of places tells where each voxel came from."""
    base, other = head((30, 34, 26)), head((30, 34, 26))
    other.voxels[...] = np.arange(30)[:, None, None] + 100 * np.arange(34)[:, None]
    made = cases(base, other)
    assert [case.name for case in made][:2] == ["as it is", "the other as base"]
    for case in made[2:]:
        index = np.array([5, 6, 3])
        place = case.other.affine[:3, :3] @ index + case.other.affine[:3, 3]
        assert case.other.voxels[tuple(index)] == pytest.approx(place[0] + 100 * place[1], abs=0.5)
    assert made[2].other.shape == (24, 27, 21) and made[3].other.spacing == (1.5, 1.5, 4.0)


def test_errors_are_what_is_left_of_a_motion(monkeypatch):
    """A registration that finds all but 2 mm, and one that finds nothing."""
    left = np.eye(4)
    left[0, 3] = 2
    known = next(motions(1, registration.middle_of(head()), 4))

    def place(base, other, how):
        moved = not np.allclose(other.affine, head().affine)
        if not moved:
            raise InputError("no")
        return Registered(other, left @ np.linalg.inv(known), 0.1, 0.2, how)

    monkeypatch.setattr(registration, "place", place)
    still, one = measure(cases(head(), head())[:1], 1, 4)
    assert still.refused == "no"
    assert one.centre == pytest.approx(2) and one.surface == pytest.approx(2) and one.turned < 1e-4
    table = to_markdown([still, one]).splitlines()
    assert "| as it is | nothing | refused: no |" in table[2]
    assert "| 2.00 mm | 2.00 mm | 0.00\u00b0 | 0.1000 | 0.2000 |" in table[3]
