from pathlib import Path

import pytest

from fsidfusion.errors import FusionError
from fsidfusion.images.pairs import match_pairs
from fsidfusion.images.sets import find_sets, open_set


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def names(matches):
    return [(pair.name, pair.infrared.name, pair.visible.name) for pair in matches.pairs]


def test_stems_match_whatever_the_extension(tmp_path):
    touch(tmp_path / "ir", "b.PNG", "a.jpg", "c.tiff", ".hidden.png", "notes.md")
    touch(tmp_path / "vis", "a.webp", "b.bmp", "d.png", "._a.png")
    matches = match_pairs([tmp_path / "ir"], [tmp_path / "vis"])
    assert names(matches) == [("a", "a.jpg", "a.webp"), ("b", "b.PNG", "b.bmp")]
    assert [path.name for path in matches.alone] == ["c.tiff", "d.png"]
    assert matches.many


def test_only_the_last_dot_begins_the_extension(tmp_path):
    touch(tmp_path / "ir", "run.1.png", "run.2.png")
    touch(tmp_path / "vis", "run.1.jpg", "run.2.jpg")
    assert [name for name, *_ in names(match_pairs([tmp_path / "ir"], [tmp_path / "vis"]))] == [
        "run.1",
        "run.2",
    ]


def test_a_name_of_dots_alone_is_not_hidden(tmp_path):
    touch(tmp_path / "ir", "....png", "a.png", ".b.png", "..c.png")
    touch(tmp_path / "vis", "....png", "a.png", ".b.png", "..c.png")
    found = match_pairs([tmp_path / "ir"], [tmp_path / "vis"])
    assert [pair.name for pair in found.pairs] == ["...", "a"]


def test_sub_folders_are_entered_on_request(tmp_path):
    touch(tmp_path, "ir/day/1.png", "ir/night/1.png", "vis/day/1.png", "vis/night/1.png")
    matches = match_pairs([tmp_path / "ir"], [tmp_path / "vis"], recursive=True)
    assert [pair.name for pair in matches.pairs] == ["day/1", "night/1"]
    with pytest.raises(FusionError, match=r"no picture.*`recursive`"):
        match_pairs([tmp_path / "ir"], [tmp_path / "vis"])


def test_one_file_each_is_a_pair_whatever_the_names(tmp_path):
    matches = match_pairs([tmp_path / "thermal.png"], [tmp_path / "colour.v2.jpg"])
    assert names(matches) == [("colour.v2", "thermal.png", "colour.v2.jpg")]
    assert not matches.many


def test_lists_match_by_stem_or_else_by_place(tmp_path):
    by_stem = match_pairs(["x/a.png", "x/b.png"], ["y/b.png", "y/a.png"])
    assert names(by_stem) == [("a", "a.png", "a.png"), ("b", "b.png", "b.png")]
    by_place = match_pairs(["x/1_ir.png", "x/2_ir.png"], ["y/1_vi.png", "y/2_vi.png"])
    assert names(by_place) == [("1_vi", "1_ir.png", "1_vi.png"), ("2_vi", "2_ir.png", "2_vi.png")]


def test_lists_in_text_files(tmp_path):
    (tmp_path / "ir.txt").write_text("x/a.png\n\nx/b.png\n", "utf-8")
    (tmp_path / "vis.txt").write_text("y/a.jpg\ny/b.jpg", "utf-8")
    matches = match_pairs([tmp_path / "ir.txt"], [tmp_path / "vis.txt"])
    assert names(matches) == [("a", "a.png", "a.jpg"), ("b", "b.png", "b.jpg")]
    (tmp_path / "ir.txt").write_text("\n")
    with pytest.raises(FusionError, match="empty"):
        match_pairs([tmp_path / "ir.txt"], [tmp_path / "vis.txt"])


def test_globs_match_by_stem_or_else_by_their_star(tmp_path):
    touch(tmp_path, "1_ir.png", "2_ir.png", "2_vis.jpg", "1_vis.jpg", "3_vis.jpg", "4_ir.txt")
    matches = match_pairs([f"{tmp_path}/*_ir.png"], [f"{tmp_path}/*_vis.jpg"])
    assert names(matches) == [("1", "1_ir.png", "1_vis.jpg"), ("2", "2_ir.png", "2_vis.jpg")]
    assert [path.name for path in matches.alone] == ["3_vis.jpg"]
    by_word = match_pairs([f"{tmp_path}/*_ir.*"], [f"{tmp_path}/*_vis.*"])  # two stars: by their words
    assert [pair.name for pair in by_word.pairs] == ["1", "2"]
    with pytest.raises(FusionError, match="no two files share a stem"):
        match_pairs([f"{tmp_path}/1_ir.*"], [f"{tmp_path}/3_vis.*"])


def test_a_name_with_brackets_is_a_file_first(tmp_path):
    touch(tmp_path, "ir/[1].png", "vis/[1].png")
    matches = match_pairs([tmp_path / "ir/[1].png"], [str(tmp_path / "vis/[1].png")])
    assert names(matches) == [("[1]", "[1].png", "[1].png")]


@pytest.mark.parametrize(
    "infrared, visible, words",
    [
        (["ir/a.png", "ir/a.jpg"], ["vis/a.png"], "same stem 'a'"),
        (["ir/a.png"], ["ir/a.png"], "both inputs"),
        (["ir/a.png", "ir/b.png"], ["vis/c.png"], "share a stem"),
        (["ir/*.png"], ["vis/c.png"], "matches"),
    ],
)
def test_what_makes_no_pairs(infrared, visible, words):
    with pytest.raises(FusionError, match=words):
        match_pairs(infrared, visible)


def test_two_files_of_one_folder_with_one_stem(tmp_path):
    touch(tmp_path, "ir/a.png", "ir/a.jpg", "vis/a.png")
    with pytest.raises(FusionError, match=r"a\.jpg and .*a\.png have the same stem"):
        match_pairs([tmp_path / "ir"], [tmp_path / "vis"])


def test_layouts_of_the_named_sets(tmp_path):
    touch(tmp_path / "MSRS/train", "ir/1.png", "vi/1.png", "Segmentation_labels/1.png")
    touch(tmp_path / "MSRS/test", "ir/2.png", "vi/2.png")
    touch(tmp_path / "MRI_PET", "MRI/11.png", "PET/11.png")
    msrs = open_set(tmp_path / "MSRS", "train")
    assert (msrs.name, msrs.task, msrs.pairs[0].labels.name) == ("MSRS/train", "thermal", "1.png")
    assert open_set(tmp_path / "MSRS", "test").pairs[0].labels is None
    pet = open_set(tmp_path / "MRI_PET")
    assert (pet.name, pet.task) == ("MRI_PET", "medical")
    assert pet.pairs[0].infrared.parent.name == "PET"
    assert [found.name for found in find_sets(tmp_path)] == ["MRI_PET", "MSRS/test", "MSRS/train"]


def test_words_for_the_side_are_left_out_of_stems(tmp_path):
    touch(tmp_path, "ir/IR1.png", "ir/IR12.png", "vi/VIS1.png", "vi/VIS12.png")
    assert names(match_pairs([tmp_path / "ir"], [tmp_path / "vi"])) == [
        ("1", "IR1.png", "VIS1.png"),
        ("12", "IR12.png", "VIS12.png"),
    ]
    with pytest.raises(FusionError, match="no two files share a stem"):
        match_pairs([tmp_path / "ir"], [touch(tmp_path / "other", "1.png")])


def test_public_layouts_of_roadscene_llvip_and_the_harvard_sets(tmp_path):
    road = touch(
        tmp_path / "RoadScene", "cropinfrared/a.jpg", "crop_LR_visible/a.jpg", "crop_HR_visible/a.jpg"
    )
    pair = open_set(road).pairs[0]
    assert (pair.infrared.parent.name, pair.visible.parent.name) == ("cropinfrared", "crop_LR_visible")
    harvard = touch(tmp_path / "Harvard", "CT-MRI/CT/1.png", "CT-MRI/MRI/1.png", "PET-MRI/PET/2.png")
    touch(harvard, "PET-MRI/MRI/2.png", "SPECT-MRI/SPECT/3.png", "SPECT-MRI/MRI/3.png")
    assert [(found.name, found.task) for found in find_sets(harvard)] == [
        (name, "medical") for name in ("CT-MRI", "PET-MRI", "SPECT-MRI")
    ]
    llvip = touch(tmp_path / "LLVIP", "infrared/train/1.jpg", "visible/train/1.jpg")
    touch(llvip, "infrared/test/2.jpg", "visible/test/2.jpg")
    assert [(found.name, found.split) for found in find_sets(llvip)] == [
        ("LLVIP/train", "train"),
        ("LLVIP/test", "test"),
    ]
    assert open_set(llvip, "test").pairs[0].name == "2"
    with pytest.raises(FusionError, match="split: train or test"):
        open_set(llvip)


def test_tno_as_published_and_as_passed_on(tmp_path):
    published = touch(
        tmp_path / "TNO_Image_Fusion_Dataset",
        "Athena_images/lake/IR_lake_g.bmp",
        "Athena_images/lake/VIS_lake_r.bmp",
        "Athena_images/heather/IR_hei_vis_g.bmp",
        "Athena_images/heather/VIS_hei_vis_r.bmp",
        "Athena_images/APC_1/view_1/IR_fk_06_005.bmp",
        "Athena_images/APC_1/view_1/VIS_fk_06_005.bmp",
        "Triclobs_images/Kaptein_01/NIR01.bmp",
        "Triclobs_images/Kaptein_01/IR01.bmp",
        "Triclobs_images/Kaptein_01/Vis01.bmp",
        "Triclobs_images/Marne_01/Marne_01_II.bmp",
        "Triclobs_images/Marne_01/Marne_01_IR.bmp",
        "Triclobs_images/Marne_01/Marne_01_Vis.bmp",
        "Triclobs_images/Veluwe/NIR.bmp",
        "Triclobs_images/Veluwe/VIS.bmp",
        "tank/LWIR.tif",
        "tank/Vis.tif",
        "README.txt",
    )
    found = open_set(published)
    assert {pair.name: (pair.infrared.name, pair.visible.name) for pair in found.pairs} == {
        "Athena_images/lake": ("IR_lake_g.bmp", "VIS_lake_r.bmp"),
        "Athena_images/heather": ("IR_hei_vis_g.bmp", "VIS_hei_vis_r.bmp"),
        "Athena_images/APC_1/view_1": ("IR_fk_06_005.bmp", "VIS_fk_06_005.bmp"),
        "Triclobs_images/Kaptein_01": ("IR01.bmp", "Vis01.bmp"),
        "Triclobs_images/Marne_01": ("Marne_01_IR.bmp", "Marne_01_Vis.bmp"),
        "tank": ("LWIR.tif", "Vis.tif"),
    }
    flat = touch(tmp_path / "IV_images", "IR1.png", "VIS1.png", "IR2.png", "VIS2.png", "VIS3.png")
    assert [pair.name for pair in open_set(flat).pairs] == ["1", "2"]
    touch(tmp_path / "road", "ir/1.png", "vi/1.png")
    assert [found.name for found in find_sets(tmp_path)] == ["road", "IV_images", "TNO_Image_Fusion_Dataset"]


def test_sets_of_one_name_are_told_apart(tmp_path):
    touch(tmp_path, "a/day/ir/1.png", "a/day/vi/1.png", "b/day/ir/1.png", "b/day/vi/1.png")
    assert [found.name for found in find_sets(tmp_path)] == ["a/day", "b/day"]


def test_what_is_no_set(tmp_path):
    touch(tmp_path / "MSRS", "train/ir/1.png", "train/vi/1.png")
    touch(tmp_path / "mixed", "mri/1.png", "ct/1.png", "pet/1.png")
    for folder, words in (("absent", "not a folder"), ("MSRS", "split: train"), ("mixed", "several sets")):
        with pytest.raises(FusionError, match=words):
            open_set(tmp_path / folder)
    assert [found.name for found in find_sets(tmp_path / "mixed")] == ["mixed/ct-mri", "mixed/pet-mri"]


def test_the_real_sets(data_root):
    counts = {found.name: len(found.pairs) for found in find_sets(data_root / "test")}
    assert counts == {"MRI_CT": 21, "MRI_PET": 42, "MRI_SPECT": 73, "RoadScene": 50, "TNO": 25}
    detect = open_set(data_root / "detect/msrs")
    assert len(detect.pairs) == 361
    assert all(pair.labels is not None and pair.labels.stem == pair.name for pair in detect.pairs)
    assert open_set(data_root / "train/PET-MRI").task == "medical"
    assert len(open_set(data_root / "misaligned").pairs) == 12
