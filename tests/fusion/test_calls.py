import inspect

import numpy as np
import pytest
import torch
from PIL import Image

import fsidfusion
from fsidfusion.images.files import Picture, read_picture, write_picture

NAMES = {
    "DEFAULT_MODEL", "Fuser", "FusionError", "InputError", "MissingDependency", "ModelError",
    "NotEnoughMemory", "Plan", "__version__", "estimate_alignment", "evaluate", "fuse", "fuse_files",
    "fuse_video", "fuse_volumes", "load_model", "models", "score",
}  # fmt: skip


def image(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def test_the_promised_names_are_all_and_no_others():
    assert set(fsidfusion.__all__) == NAMES == set(dir(fsidfusion))
    assert all(getattr(fsidfusion, name) is not None for name in NAMES)


SETTINGS = ("task", "device", "precision", "range", "emphasis", "tile", "memory", "threads", "runtime")
TREATMENT = ("mri", "ct", "pet", "spect", "color", "dtype", "align", "crop")


@pytest.mark.parametrize(
    "function, names",
    [
        (fsidfusion.Fuser, ("model", *SETTINGS)),
        (fsidfusion.Fuser.fuse, ("self", "infrared", "visible", *TREATMENT)),
        (fsidfusion.fuse, ("infrared", "visible", "model", *SETTINGS, *TREATMENT)),
    ],
    ids=["Fuser", "Fuser.fuse", "fuse"],
)
def test_a_signature_names_all_arguments_with_their_defaults(function, names):
    signature = inspect.signature(function)
    assert set(signature.parameters) == set(names)
    empty = {name for name, one in signature.parameters.items() if one.default is one.empty}
    assert empty <= {"self"}
    assert "emphasis" not in names or signature.parameters["emphasis"].default == "targets"
    assert all(
        one.annotation is not one.empty for name, one in signature.parameters.items() if name != "self"
    )


def test_names_that_are_none_are_refused_as_by_any_function():
    with pytest.raises(TypeError, match=r"fuse\(\) got an unexpected keyword argument 'colour'"):
        fsidfusion.fuse(image(4, 4), image(4, 4), colour="gray")
    with pytest.raises(TypeError, match=r"Fuser.__init__\(\) got an unexpected keyword argument 'color'"):
        fsidfusion.Fuser("maximum", color="gray")
    with pytest.raises(TypeError, match=r"Fuser.fuse\(\) got an unexpected keyword argument 'range'"):
        fsidfusion.Fuser("maximum").fuse(image(4, 4), image(4, 4), range="none")


def test_one_call_takes_what_a_fuser_takes(scene):
    infrared, visible = scene.infrared, scene.visible
    how = {"emphasis": "natural", "range": "minmax"}
    expected = fsidfusion.Fuser(**how).fuse(infrared, visible, color="gray", dtype=np.uint16)
    found = fsidfusion.fuse(infrared, visible, **how, color="gray", dtype=np.uint16)
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == np.uint16
    other = fsidfusion.fuse(infrared, visible, range="minmax", color="gray", dtype=np.uint16)
    assert not np.array_equal(found, other)


def test_errors_are_one_family_of_values():
    for name in ("InputError", "ModelError", "MissingDependency", "NotEnoughMemory"):
        assert issubclass(getattr(fsidfusion, name), fsidfusion.FusionError)
    assert issubclass(fsidfusion.FusionError, ValueError)


def test_arrays_tensors_and_pil_images_give_the_same():
    infrared, visible = image(24, 32), image(24, 32, 3, seed=1)
    expected = fsidfusion.fuse(infrared, visible, model="maximum")
    tensors = torch.from_numpy(infrared)[None], torch.from_numpy(visible).permute(2, 0, 1)
    pictures = Image.fromarray(infrared), Image.fromarray(visible)
    for pair in (tensors, pictures, (tensors[0], pictures[1])):
        np.testing.assert_array_equal(fsidfusion.fuse(*pair, model="maximum"), expected)


@pytest.mark.parametrize("kind", [">f4", ">f8", ">u2", "<f4"])
def test_byte_order_and_strides_change_nothing(kind):
    levels = np.linspace(0, 1, 24 * 32 * 3).reshape(24, 32, 3)
    visible = (levels * 65535).astype(kind) if "u" in kind else levels.astype(kind)
    native = visible.astype(visible.dtype.newbyteorder("="))
    infrared = image(24, 32)
    expected = fsidfusion.fuse(infrared, native, model="maximum")
    np.testing.assert_array_equal(fsidfusion.fuse(infrared, visible, model="maximum"), expected)
    mirrored = np.ascontiguousarray(native[:, ::-1])[:, ::-1]
    np.testing.assert_array_equal(fsidfusion.fuse(infrared, mirrored, model="maximum"), expected)


def test_roles_by_name_and_by_order_take_the_medical_weights():
    mri, pet = image(24, 32), image(24, 32, 3, seed=1)
    named = fsidfusion.fuse(mri=mri, pet=pet)
    np.testing.assert_array_equal(named, fsidfusion.fuse(mri, pet, task="medical"))
    np.testing.assert_array_equal(named, fsidfusion.Fuser(task="medical").fuse(mri, pet))
    assert named.shape == (24, 32, 3)
    assert not np.array_equal(named, fsidfusion.fuse(pet, mri, color="infrared"))


@pytest.mark.parametrize(
    "images, words",
    [
        ({"infrared": [[1]], "visible": [[2]]}, "infrared is of type list, expected an array"),
        ({"infrared": image(4, 4)}, "given infrared; expected infrared and visible"),
        ({"mri": image(4, 4), "ct": image(4, 4), "pet": image(4, 4)}, "given mri, ct, pet"),
        ({"infrared": "a.png", "visible": "b.png"}, "infrared is of type str"),
        ({"infrared": image(4, 4), "visible": np.ma.masked_less(image(4, 4), 9)}, "masked"),
    ],
)
def test_wrong_inputs_are_one_clear_line(images, words):
    with pytest.raises(fsidfusion.InputError, match=words):
        fsidfusion.fuse(**images, model="maximum")


def test_a_fuser_says_what_it_is():
    fuser = fsidfusion.Fuser(device="cpu", precision="fp32", runtime="torch")
    assert repr(fuser) == "Fuser('fsidfusion-light', thermal, on cpu in fp32 by torch)"
    assert isinstance(fuser.network, torch.nn.Module)
    assert fsidfusion.Fuser("maximum").network is None


def test_folders_in_one_call(tmp_path):
    for i in range(3):
        write_picture(tmp_path / "ir" / f"{i}.png", Picture(image(20, 30, seed=i)))
        write_picture(tmp_path / "vis" / f"{i}.png", Picture(image(20, 30, 3, seed=i + 9)))
    rule = fsidfusion.Fuser("maximum", range="none")
    outcomes = fsidfusion.fuse_files(tmp_path / "ir", tmp_path / "vis", tmp_path / "out", fuser=rule)
    assert [outcome.status for outcome in outcomes] == ["fused"] * 3
    pair = (read_picture(tmp_path / side / "1.png").pixels for side in ("ir", "vis"))
    np.testing.assert_array_equal(read_picture(tmp_path / "out" / "1.png").pixels, rule.fuse(*pair))
    again = fsidfusion.fuse_files(tmp_path / "ir", tmp_path / "vis", tmp_path / "out", fuser=rule)
    assert [outcome.status for outcome in again] == ["skipped"] * 3


def test_scores_of_arrays():
    fused, infrared, visible = image(40, 40), image(40, 40, seed=1), image(40, 40, seed=2)
    scores = fsidfusion.score(fused, infrared, visible, ("EN", "SD"))
    assert scores == fsidfusion.score(torch.from_numpy(fused), infrared, visible, ("EN", "SD"))
    assert scores["SD"] == pytest.approx(fused.std(), rel=1e-3)
    with pytest.raises(fsidfusion.InputError):
        fsidfusion.score(fused, infrared[:20], visible)


def test_models_are_listed_with_their_cards():
    cards = fsidfusion.models()
    assert fsidfusion.DEFAULT_MODEL in cards
    assert all("licence" in card for card in cards.values())
