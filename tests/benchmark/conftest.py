"""Sets in the published layouts, rendered small."""

from pathlib import Path

import pytest

from fsidfusion.data.scenes import render_scene
from fsidfusion.images import Picture, write_picture


@pytest.fixture(scope="session")
def rendered(tmp_path_factory) -> Path:
    """TNO (gray), MRI_PET (colour in the infrared place), MSRS/test (colour), and a train folder beside."""
    root = tmp_path_factory.mktemp("sets")
    scenes = [render_scene(seed, (96, 128)) for seed in range(4)]
    for number, scene in enumerate(scenes):
        write_picture(root / "TNO" / "ir" / f"{number}.png", Picture(scene.infrared))
        write_picture(root / "TNO" / "vi" / f"{number}.bmp", Picture(scene.visible[..., 1].copy()))
    for number, scene in enumerate(scenes[:2]):
        write_picture(root / "MRI_PET" / "PET" / f"{number}.png", Picture(scene.visible))
        write_picture(root / "MRI_PET" / "MRI" / f"{number}.png", Picture(scene.infrared))
        for split in ("test", "train"):
            write_picture(root / "MSRS" / split / "ir" / f"{number}.png", Picture(scene.infrared))
            write_picture(root / "MSRS" / split / "vi" / f"{number}.png", Picture(scene.visible))
        write_picture(root / "train" / "TNO" / "ir" / f"{number}.png", Picture(scene.infrared))
        write_picture(root / "train" / "TNO" / "vi" / f"{number}.png", Picture(scene.visible))
    return root
