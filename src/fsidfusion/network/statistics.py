"""What the network takes from the whole image, recorded once and replayed for every tile.

All of the network is local but two things: the channel attention matrices and the gate's pooled average. Both
are functions of sums over pixels, so a tile that is given the sums of its whole image is fused as in that
image.
"""

from collections.abc import Callable, Iterator
from typing import Self

from torch import Tensor

Sums = tuple[Tensor, ...]  # each (B, ...): sums over the pixels of each image of a batch


class Statistics:
    """The pixel sums of one image, in the order in which the network asks for them.

    Pass a recording to one forward pass over the image, or over a batch of crops of it; then pass a fresh
    ``replay()`` to the pass of every tile. Each replay has its own cursor, so they may run in parallel
    threads.

        statistics = Statistics.record()
        network(crops_of_infrared, crops_of_visible, statistics)
        fused = network(tile_of_infrared, tile_of_visible, statistics.replay())
    """

    def __init__(self, stored: list[Sums], cursor: Iterator[Sums] | None, modalities: int = 1) -> None:
        self._stored = stored
        self._cursor = cursor  # None: recording
        self._modalities = modalities

    @classmethod
    def record(cls) -> Self:
        """An empty recording; the batch it goes with is taken as crops of one image."""
        return cls([], None)

    def replay(self) -> "Statistics":
        """The recorded sums from the first one on, for a batch of any size of tiles of the same image."""
        return Statistics(self._stored, iter(self._stored))

    def of_modalities(self, number: int) -> "Statistics":
        """The same recording or replay, for a batch that holds ``number`` modalities one after the other."""
        return Statistics(self._stored, self._cursor, number)

    def sums(self, batch: int, measure: Callable[[], Sums]) -> Sums:
        """The sums for a batch of ``batch`` images: those of ``measure`` joined over all crops, or those
        replayed.

        A replay does not call ``measure``. RuntimeError where another network, or method of it, was recorded.
        """
        crops = batch // self._modalities
        if self._cursor is None:
            joint = tuple(x.unflatten(0, (self._modalities, crops)).sum(1) for x in measure())
            self._stored.append(joint)
        else:
            joint = next(self._cursor, ())
            if not joint or joint[0].shape[0] != self._modalities:
                raise RuntimeError(
                    "these statistics were recorded by another network or another method of it"
                )
        return tuple(x.repeat_interleave(crops, 0) for x in joint)
