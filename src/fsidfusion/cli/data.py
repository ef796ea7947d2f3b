"""``fsidfusion data``: training pairs from folders."""

from pathlib import Path
from typing import Annotated

import tyro


def prepare(
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])],
    data: Path | None = None,
    ir: tuple[str, ...] = (),
    vis: tuple[str, ...] = (),
    patch: int = 128,
    stride: int = 200,
    min_contrast: float = 0.1,
    validation: bool = True,
) -> int:
    """Write aligned pairs into a patch cache; a stopped run goes on where it was.

    Args:
        output: folder of the cache, new.
        data: a folder of sets in their usual layouts (ir, vi; MRI with CT, PET or SPECT), two levels deep.
        ir: infrared (or CT, PET, SPECT) pictures: files, folders, globs.
        vis: visible (or MRI) pictures, matched by stem.
        patch: side of the patches in pixels; 0 keeps whole pictures, from which training draws crops.
        stride: distance between patches in pixels.
        min_contrast: drop patches in which (p90 - p10) / p90 of either image is below this.
        validation: hold out every 20th pair of each set, by name.
    """
    from rich.progress import track

    from fsidfusion.data.patches import PatchSettings
    from fsidfusion.data.patches import prepare as prepare_patches
    from fsidfusion.data.sources import source_pairs

    pairs = source_pairs(data, ir, vis, validation)
    cache = prepare_patches(track(pairs, "preparing"), output, PatchSettings(patch, stride, min_contrast))
    held = len(cache.positions("validation"))
    print(f"{len(cache)} items from {len(pairs)} pairs ({held} for validation) in {output}")
    return 0
