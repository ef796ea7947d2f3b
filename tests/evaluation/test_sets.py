import shutil

import pytest

from fsidfusion import FusionError
from fsidfusion.evaluation.published import published_pairs, published_sets
from fsidfusion.evaluation.sets import named_set, published_layout


def test_sets_are_found_in_the_order_of_the_tables(rendered):
    sets = published_layout([rendered])
    assert [(found.name, len(found.pairs)) for found in sets] == [("MSRS", 2), ("TNO", 4), ("MRI_PET", 2)]
    assert "test" in sets[0].pairs[0].infrared.parts
    assert sets[2].task == "medical"
    assert [found.name for found in published_layout([rendered / "TNO", rendered / "MSRS"], ["tno"])] == [
        "TNO"
    ]


def test_one_set_by_name(rendered):
    assert named_set(rendered, "tno").name == "TNO"
    assert named_set(rendered / "TNO", "TNO").pairs == named_set(rendered, "TNO").pairs
    with pytest.raises(FusionError, match="'M3FD' is unknown; choose one of MSRS, TNO"):
        named_set(rendered, "M3FD")
    with pytest.raises(FusionError, match="holds no folder named RoadScene"):
        named_set(rendered, "RoadScene")
    with pytest.raises(FusionError, match="no folder named TNO"):
        named_set(rendered / "absent", "TNO")


def test_without_a_published_name_every_set_counts(rendered, tmp_path):
    shutil.copytree(rendered / "TNO", tmp_path / "mine")
    assert [found.name for found in published_layout([tmp_path])] == ["mine"]


def test_what_cannot_be_meant(rendered, tmp_path):
    with pytest.raises(FusionError, match="is not a folder"):
        published_layout([tmp_path / "absent"])
    with pytest.raises(FusionError, match="holds no set"):
        published_layout([tmp_path])
    with pytest.raises(FusionError, match="there is no set M3FD here; the sets are MSRS, TNO, MRI_PET"):
        published_layout([rendered], ["TNO", "M3FD"])
    shutil.copytree(rendered / "TNO", tmp_path / "tno")
    with pytest.raises(FusionError, match="set TNO is there twice"):
        published_layout([rendered, tmp_path])
    (tmp_path / "tno" / "ir" / "0.png").unlink()
    with pytest.raises(FusionError, match=r"0\.bmp: no partner"):
        published_layout([tmp_path])


def test_the_test_sets_are_whole(data_root):
    for name in published_sets():
        assert len(named_set(data_root, name).pairs) == published_pairs(name)
