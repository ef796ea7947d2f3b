import numpy as np
import pytest

from fsidfusion.alignment.sampling import pixel_grid, sample
from fsidfusion.errors import FusionError
from fsidfusion.images.files import Picture, write_picture
from fsidfusion.studies.alignment import (
    Case,
    align_case,
    dense_map,
    known_warp,
    measure,
    misaligned_cases,
    pair_cases,
    to_markdown,
)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_known_warp_and_its_inverse_meet(seed):
    into, back = known_warp((120, 160), seed)
    inside = ((back > 2) & (back < (157, 117))).all(-1)
    there = sample(into, back)
    assert inside.mean() > 0.6
    assert np.abs(there - pixel_grid((120, 160)))[inside].max() < 0.1


def test_dense_matching_finds_a_warp_of_one_spectrum(scene, warped):
    found, truth = dense_map(scene.infrared, warped[0]), warped[1]
    inside = ((truth > 5) & (truth < (314, 234))).all(-1)
    assert np.median(np.linalg.norm(found - truth, axis=-1)[inside]) < 0.5


def test_an_estimate_is_compared_with_the_truth(scene, warped):
    case = Case("a", warped[0], scene.visible, scene.infrared, warped[1])
    result = align_case(case, "edges")
    assert (result.refused, result.change) == ("", -1)
    assert result.after.mean < result.before.mean / 3
    assert result.after.residual < result.before.residual
    flat = align_case(
        Case("b", np.full_like(warped[0], 9), scene.visible, scene.infrared, warped[1]), "edges"
    )
    assert flat.after == flat.before
    assert (flat.change, "flat" in flat.refused) == (0, True)
    page = to_markdown({"mine": {"edges": [result, flat]}})
    assert "### mine, 2 pairs" in page
    assert "| b |" in page
    assert "| 1 | 0 | 1 |" in page
    with pytest.raises(FusionError, match="method 'magic' is unknown"):
        measure([case], ["magic"])


def test_pairs_of_files_are_warped(scene, tmp_path):
    for name, pixels in (("ir", scene.infrared), ("vi", scene.visible)):
        for i in range(3):
            write_picture(tmp_path / name / f"{i}.png", Picture(pixels))
    cases = pair_cases(tmp_path / "ir", tmp_path / "vi", most=2)
    assert [case.name for case in cases] == ["0", "1"]
    assert np.abs(cases[0].true_map - cases[1].true_map).max() > 5


def test_real_misaligned_pairs_have_a_dense_truth(data_root, tmp_path):
    for name in ("vi", "ir_warp", "ir"):
        (tmp_path / name).mkdir()
        for file in ("MSRS_00055D.webp", "RoadScene_4.webp"):
            (tmp_path / name / file).symlink_to(data_root / "misaligned" / name / file)
    cases = misaligned_cases(tmp_path)
    assert [case.name for case in cases] == ["MSRS_00055D", "RoadScene_4"]
    for case in cases:
        back = sample(case.infrared, case.true_map)
        before = np.abs(case.infrared.astype(float) - case.true_infrared).mean()
        assert np.abs(back.astype(float) - case.true_infrared).mean() < 0.6 * before
