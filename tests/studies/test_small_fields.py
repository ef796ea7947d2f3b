import numpy as np

from fsidfusion.alignment.transform import Alignment
from fsidfusion.images.files import Picture, write_picture
from fsidfusion.studies import small_fields
from fsidfusion.studies.scenes import render_scene
from fsidfusion.studies.small_fields import Placed, measure_pairs, measure_scenes, to_markdown


def test_a_field_is_cut_and_its_place_compared_with_the_cut(monkeypatch, tmp_path):
    """An estimate that has the cut is right, one beside it is off by as much, a refusal is told."""
    cuts = []
    cut = small_fields._cut
    monkeypatch.setattr(small_fields, "_cut", lambda *where: cuts.append(cut(*where)) or cuts[-1])
    moved = [0.0]

    def told(pairs, infrared_fov=None, visible_fov=None, field=False):
        infrared, size = pairs[0][0], pairs[0][1].shape[:2]
        if field:  # of the whole pair
            return Alignment(np.eye(3), size, size, "affine", "edges")
        assert visible_fov > infrared_fov > 10
        matrix = cuts[-1].copy()
        matrix[0, 2] += moved[0]
        return Alignment(matrix, size, infrared.shape[:2], "similarity", "edges")

    monkeypatch.setattr(small_fields, "estimate", told)
    assert measure_scenes(1, 3, lambda name: None)[0].error < 1e-3
    scene = render_scene(1, (240, 320))
    for place, pixels in (("ir", scene.infrared), ("vi", scene.visible)):
        write_picture(tmp_path / place / "a.png", Picture(pixels))
    moved[0] = 5.0
    [row] = measure_pairs(tmp_path / "ir", tmp_path / "vi", 1, 0, lambda name: None)
    assert (row.name, row.share) == ("a", 5)
    assert 4.5 < row.error < 5.5


def test_the_table_counts_what_became_of_the_fields():
    rows = [Placed("a", 5, 0.5), Placed("b", 4, 3.0), Placed("c", 3, None, "too few edges")]
    table = to_markdown({"some": rows})
    assert "| some | 2 of 3 | 1 | 1 | 0 | 1.8 | 1 |" in table
    assert "b (1/4) 3.0 pixels" in table
