"""``fsidfusion data``: training pairs from folders."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

Files = Annotated[tuple[str, ...], tyro.conf.arg(metavar="FILES")]


@dataclass(frozen=True)
class Prepare:
    """Write aligned pairs into a patch cache; a stopped run goes on where it was."""

    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """folder of the cache, new; or the file, with --format hdf5"""
    data: Path | None = None
    """a folder of sets in their usual layouts (ir, vi; MRI with CT, PET or SPECT), up to two levels down;
    test splits are left out where there are train splits"""
    ir: Files = ()
    """infrared (or CT, PET, SPECT) pictures: files, folders, globs"""
    vis: Files = ()
    """visible (or MRI) pictures, matched by stem"""
    hdf5: Path | None = None
    """a patch file in the published layout, instead of pictures; its patches are kept as they are"""
    patch: int = 128
    """side of the patches in pixels; 0 keeps whole pictures, from which training draws crops"""
    stride: int = 200
    """distance between patches in pixels"""
    min_contrast: float = 0.1
    """drop patches in which (high - low) / high of either image is below this"""
    percentiles: tuple[float, float] = (10, 90)
    """what low and high are, of the grey levels of a patch"""
    validation: bool = True
    """hold out every 20th pair of each set, by name"""
    format: Literal["cache", "hdf5"] = "cache"
    """cache (uint8 memory maps), or hdf5: the published layout, beside a cache of the same name"""

    def run(self) -> int:
        """Prepare."""
        from rich.console import Console
        from rich.progress import Progress

        from fsidfusion.errors import InputError
        from fsidfusion.training.hdf5 import published_pairs, write_published
        from fsidfusion.training.patches import PatchCache, PatchSettings
        from fsidfusion.training.prepare import prepare
        from fsidfusion.training.sources import source_pairs, training_sets

        if self.hdf5 is not None:
            if self.data or self.ir or self.vis:
                raise InputError("--hdf5 names all pairs; leave out --data, --ir and --vis")
            pairs, settings = published_pairs(self.hdf5, self.validation), PatchSettings(patch=0)
        else:
            pairs = source_pairs(self.data, self.ir, self.vis, self.validation)
            settings = PatchSettings(self.patch, self.stride, self.min_contrast, *self.percentiles)
        folder = self.output.with_suffix(".cache") if self.format == "hdf5" else self.output
        counts = Counter(pair.set for pair in pairs)
        print("sets: " + ", ".join(f"{name} ({number})" for name, number in counts.items()))
        left_out = training_sets(self.data)[1] if self.data else []
        if left_out:
            print("left out: " + ", ".join(f"{found.name} ({len(found.pairs)} pairs)" for found in left_out))
        if self.format == "hdf5" and folder.exists() and PatchCache(folder).settings == settings:
            cache = PatchCache(folder)  # a stopped run had come so far
        else:
            with Progress(console=Console(stderr=True)) as bar:
                cache = prepare(bar.track(pairs, description="preparing"), folder, settings)
        held = len(cache.positions("validation"))
        print(f"{len(cache)} items from {len(pairs)} pairs ({held} for validation) in {folder}")
        if self.format == "hdf5":
            print(f"{write_published(cache, self.output)} patches in {self.output}")
        return 0


@dataclass(frozen=True)
class Check:
    """Find what would spoil a training: unreadable files, missing partners, sizes, flat images, pairs in
    two splits, shifts. Exit status 1 when something was found."""

    data: Path
    """a folder of sets in their usual layouts, up to two levels down"""
    sheet: Path | None = None
    """write a contact sheet here: a few pairs of each set, those with findings first"""

    def run(self) -> int:
        """Check, print, draw."""
        from rich.progress import Progress

        from fsidfusion.errors import InputError
        from fsidfusion.images.files import Picture, write_picture
        from fsidfusion.images.pairs import find_sets
        from fsidfusion.images.sheet import contact_sheet
        from fsidfusion.training.check import check_sets

        sets = find_sets(self.data)
        if not sets:
            raise InputError(
                f"{self.data} holds no set of pairs; expected folders such as ir and vi, or CT and MRI"
            )
        total = sum(len(found.pairs) for found in sets)
        with Progress() as bar:
            task = bar.add_task("checking", total=total)
            findings, shown = check_sets(sets, on_pair=lambda _: bar.advance(task))
        for finding in findings:
            print(f"{finding.kind:<10}  {finding.set}/{finding.pair}: {finding.text}")
        if self.sheet is not None and shown:
            rows = [[(pair.name, pair.infrared), ("", pair.visible)] for pair in shown]
            write_picture(self.sheet, Picture(contact_sheet(rows)))
            print(f"contact sheet: {self.sheet}")
        counts = Counter(finding.kind for finding in findings)
        summary = ", ".join(f"{number} {kind}" for kind, number in counts.items()) or "nothing wrong"
        print(f"{total} pairs in {len(sets)} sets: {summary}")
        return 1 if findings else 0


@dataclass(frozen=True)
class Render:
    """Render street scenes in the layout of MSRS, with true masks and boxes, for segmentation and detection.

    By day, by night and in smoke. A stopped call goes on where it was."""

    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """folder of the set"""
    train: int = 400
    """number of training scenes"""
    test: int = 100
    """number of test scenes; none shares a seed with a training scene"""
    size: tuple[int, int] = (240, 320)
    """height and width in pixels"""

    def run(self) -> int:
        """Render."""
        from rich.progress import track

        from fsidfusion.studies.scenes.rendered_set import write_scene_set

        scenes = write_scene_set(self.output, self.train, self.test, self.size)
        for _ in track(scenes, "rendering", total=self.train + self.test):
            pass
        print(f"{self.train} training and {self.test} test scenes in {self.output}")
        return 0


@tyro.conf.configure(tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes)
def data(task: Prepare | Check | Render) -> int:
    """Prepare training pairs, check them, or render scenes.

    Args:
        task: what to do.
    """
    return task.run()
