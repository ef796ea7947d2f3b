"""The pairs in the folder `examples/` of the project, and how to render them again."""

from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from PIL import Image

from fsidfusion.studies.scenes import render_scene
from fsidfusion.studies.scenes.phantom import render_phantom

# name: (seed, place, time of day, smoke)
EXAMPLES: dict[str, tuple[int, str, str, bool]] = {
    "night_street": (58, "street", "night", False),
    "smoke_rescue": (18, "crossing", "day", True),
    "dusk_crossing": (80, "crossing", "dusk", False),
    "day_shade": (102, "park", "day", False),
    "parking_drone": (56, "drone", "night", False),
}
HEAD = 1  # seed of the phantom


def render_examples() -> dict[str, NDArray[Any]]:
    """All example pictures by their path below `examples/`: (H, W) gray or (H, W, 3) RGB, uint8."""
    pictures: dict[str, NDArray[Any]] = {}
    for name, (seed, place, time_of_day, smoke) in EXAMPLES.items():
        scene = render_scene(seed, time_of_day=time_of_day, smoke=smoke, place=place)
        pictures[f"ir/{name}.png"], pictures[f"vis/{name}.png"] = scene.infrared, scene.visible
    head = render_phantom(HEAD)
    pictures["mri/head.png"], pictures["pet/head.png"], pictures["ct/head.png"] = head.mri, head.pet, head.ct
    return pictures


def write_examples(folder: Path) -> list[Path]:
    """Render the examples into a folder as PNG files; return their paths."""
    written = []
    for name, picture in render_examples().items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(path, optimize=True)
        written.append(path)
    return written
