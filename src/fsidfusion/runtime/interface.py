"""What every runtime does, whatever software computes the network."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import nn

    from fsidfusion.network.statistics import Statistics


@dataclass(frozen=True)
class Traits:
    """What must be known of a network to run it on images of any size."""

    size_multiple: int = 1  # of the sides that it takes
    minimum_size: int = 1
    tile_overlap: int | None = None  # pixels of context that a tile needs; None: only whole images
    has_global_statistics: bool = False

    @classmethod
    def of(cls, network: Any) -> Self:
        """Those that a network says of itself."""
        return cls(
            int(getattr(network, "size_multiple", 1)),
            int(getattr(network, "minimum_size", 1)),
            getattr(network, "tile_overlap", None),
            bool(getattr(network, "has_global_statistics", False)),
        )


class Runtime(Protocol):
    """A fusion network ready to run on luma arrays; safe to call from several threads."""

    name: str  # of the software
    device: str  # "cpu", "cuda:0", "mps"
    precision: str  # "fp32" or "bf16"
    threads: int  # of the CPU
    traits: Traits
    tile_pixels: int | None  # of the largest tiles that it computes fastest, where it has such

    @property
    def network(self) -> "nn.Module":
        """The network in torch."""
        ...

    def __call__(
        self,
        infrared: NDArray[np.float32],
        visible: NDArray[np.float32],
        statistics: "Statistics | None" = None,
    ) -> NDArray[np.float32]:
        """Fuse a batch, (B, H, W) each in 0..1, to (B, H, W).

        Args:
            infrared: infrared, CT, PET or SPECT.
            visible: visible or MRI.
            statistics: what :meth:`record` took from the image of which these are tiles.

        Raises:
            MemoryError: there is not enough for it.
        """
        ...

    def record(self, infrared: NDArray[np.float32], visible: NDArray[np.float32]) -> "Statistics":
        """Take the statistics of one image from crops of it, (N, h, w) each."""
        ...

    def memory(self) -> int:
        """Bytes free on the device."""
        ...

    def peak_bytes(self, pixels: int) -> int:
        """About the most memory that a pass over ``pixels`` pixels takes."""
        ...

    def seconds(self, pixels: int) -> float:
        """About how long a pass over ``pixels`` pixels takes in one thread."""
        ...

    def use_threads(self, number: int) -> None:
        """Compute with so many threads of the CPU in the thread that calls, where that can be chosen."""
        ...
