"""Training: pairs become a patch cache, a task goes through the loop, a fusion network comes out.

``prepare.prepare`` writes a cache of :func:`source_pairs` or :func:`published_pairs`; :func:`load_config`
says what decides a run, and :func:`train` goes through the two stages. :class:`Task` and :func:`fit` are
training of anything else, with stop and resume; ``objectives`` has the losses, by formula and source.
"""

from typing import TYPE_CHECKING

from fsidfusion._lazy import lazily

if TYPE_CHECKING:
    from fsidfusion.training.check import check_sets
    from fsidfusion.training.checkpoint import RunFolder, open_run
    from fsidfusion.training.fusion import train
    from fsidfusion.training.hdf5 import published_pairs, write_published
    from fsidfusion.training.loop import Progress, Reached, Task, fit
    from fsidfusion.training.patches import CropSampler, PatchCache, PatchSettings
    from fsidfusion.training.presets import TrainConfig, load_config
    from fsidfusion.training.sources import source_pairs, training_sets

__all__ = [
    "CropSampler",
    "PatchCache",
    "PatchSettings",
    "Progress",
    "Reached",
    "RunFolder",
    "Task",
    "TrainConfig",
    "check_sets",
    "fit",
    "load_config",
    "open_run",
    "published_pairs",
    "source_pairs",
    "train",
    "training_sets",
    "write_published",
]
__getattr__, __dir__ = lazily(
    __name__,
    {
        "check": ("check_sets",),
        "checkpoint": ("RunFolder", "open_run"),
        "fusion": ("train",),
        "hdf5": ("published_pairs", "write_published"),
        "loop": ("Progress", "Reached", "Task", "fit"),
        "patches": ("CropSampler", "PatchCache", "PatchSettings"),
        "presets": ("TrainConfig", "load_config"),
        "sources": ("source_pairs", "training_sets"),
    },
)
