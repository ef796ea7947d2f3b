from dataclasses import replace

import numpy as np
import pytest

from fsidfusion.errors import InputError
from fsidfusion.fusion.volumes.grid import Volume
from fsidfusion.fusion.volumes.windows import Level, choose_level, is_hounsfield, number, parse_window, peak
from volume_files import head


def volume(*values):
    return Volume("ct", np.array(values, np.float32).reshape(-1, 1, 1), np.eye(4))


def lesions(*values, size=3):
    """A brain of uptake 1 with one lesion of ``size`` voxels each way for each value; and where they are."""
    voxels = np.zeros((24, 24, 24), np.float32)
    voxels[4:20, 4:20, 4:20] = 1
    places = []
    for number_, value in enumerate(values):
        place = tuple(slice(6 + 4 * n, 6 + 4 * n + size) for n in (number_, number_, 0))
        voxels[place] = value
        places.append(place)
    return Volume("pet", voxels, np.eye(4)), places


def test_a_window_is_linear_between_its_ends():
    level, notes = choose_level(volume(-1000, 0, 20, 40, 80, 1500), "ct", "brain")
    assert level.apply(np.array([-1000, 0, 20, 40, 80, 1500], np.float32)).tolist() == [0, 0, 0.25, 0.5, 1, 1]
    assert notes == [] and "window brain" in str(level)
    assert parse_window("bone") == (-500, 1500)
    assert parse_window("400,-40") == (-240, 160)
    assert parse_window("0..8") == (0, 8)
    assert parse_window("-100..300.5") == (-100, 300.5)


@pytest.mark.parametrize("window", ["lung!", "0,40", "-80,40", "nan,40", "80", "1,2,3", "", "8..0", "1..2.."])
def test_windows_that_are_none(window):
    with pytest.raises(InputError, match=r"unknown; give brain, bone, LOW..HIGH"):
        parse_window(window)


def test_a_window_outside_the_data():
    with pytest.raises(InputError, match=r"shows 4900\.\.5100, but ct holds 0\.\.100"):
        choose_level(volume(0, 100), "ct", "200,5000")


@pytest.mark.parametrize("modality", ["pet", "spect", "dose"])
def test_uptake_begins_at_zero_and_tells_hot_lesions_apart(modality):
    pet, places = lesions(2, 4, 8, size=2)
    level, notes = choose_level(pet, modality)
    assert (level.low, level.high) == (0, 8)
    shown = level.apply(pet.voxels)
    assert [float(shown[place].max()) for place in places] == [0.25, 0.5, 1.0]
    assert shown[15, 5, 5] == 0.125
    assert notes == [
        f"the {modality.upper()} is shown from 0 to its peak 8, 4 times the 99.5 % percentile; `window`=0..2"
        " shows more of the rest"
    ]


def test_values_below_zero_are_no_uptake():
    pet, _ = lesions(4)
    pet.voxels[:4] = -3
    assert choose_level(pet, "pet")[0].apply(pet.voxels)[:4].max() == 0


@pytest.mark.parametrize("outliers", [[(2, 2, 2)], [(0, 0, 0)], [(2, 2, 2), (2, 2, 3), (2, 2, 4)]])
def test_single_voxels_do_not_move_the_scale_and_are_told(outliers):
    pet, _ = lesions(4)
    for place in outliers:
        pet.voxels[place] = 1e6
    level, notes = choose_level(pet, "pet")
    assert (level.low, level.high) == (0, 4)
    assert "single voxels of the PET reach 1000000, beyond the 4 that is shown" in notes
    mri, plain = head(), head()
    mri.voxels[3, 3, 3] = 1e6
    (ours, _), (theirs, _) = choose_level(mri, "mri"), choose_level(plain, "mri")
    assert abs(ours.high - theirs.high) < 0.02 * theirs.high


def test_a_lesion_of_two_voxels_each_way_is_no_outlier():
    assert choose_level(lesions(6, size=2)[0], "pet")[0].high == 6
    flat = np.zeros((9, 9, 1), np.float32)
    flat[3:6, 3:6] = 5
    flat[0, 0] = 9
    assert peak(flat) == 5
    assert peak(np.full((1, 1, 1), 3, np.float32)) == 3


def test_what_a_window_clips_is_said():
    pet, _ = lesions(2, 4, 8)
    level, notes = choose_level(replace(pet, unit="SUVbw"), "pet", "0..3")
    assert str(level) == "0..3 SUVbw (as asked)"
    assert notes == ["1.3% of the voxels of pet above 0 are beyond 3 and look alike"]
    assert choose_level(pet, "pet", "0..9")[1] == []


def test_scaling_of_an_mri_knows_no_unit():
    """Any linear change of the values, as between two scanners, gives the same picture."""
    plain = head()
    other = Volume("other", plain.voxels * 7.5 - 300, plain.affine)
    ours, theirs = (choose_level(one, "mri")[0].apply(one.voxels) for one in (plain, other))
    assert np.allclose(ours, theirs, atol=1e-4)


@pytest.mark.parametrize("modality", ["mri", "pet", "ct"])
def test_a_flat_volume(modality):
    with pytest.raises(InputError, match="flat"):
        choose_level(volume(0, 0, 0), modality)


def test_a_ct_is_shown_in_the_bone_window_where_its_units_are_hounsfields():
    assert str(choose_level(head(low=-1000, high=1500), "ct")[0]) == "-500..1500 HU (bone window)"
    assert choose_level(head(low=0, high=1500), "ct")[0].origin == "by percentiles"
    assert is_hounsfield(volume(-1000, 40))
    assert not is_hounsfield(volume(0, 40, 3000))


def test_numbers_for_people():
    values = (0, 0.12345, 1234.5, 9999.98, 25000.4, 1e6)
    assert [number(v) for v in values] == ["0", "0.1235", "1234", "10000", "25000", "1000000"]
    assert str(Level(0, 8)) == "0..8"
