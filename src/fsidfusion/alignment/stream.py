"""The alignment of a video: known beforehand, or estimated from its first frames and then kept."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fsidfusion.alignment.transform import Alignment
from fsidfusion.alignment.warp import Aligned, InfraredWarp
from fsidfusion.images.pixels import Pixels

FIRST_FRAMES = 48  # pairs that are read before an estimate
_USED = 5  # of them, evenly spread


class AlignmentStream:
    """Aligns frame after frame by one alignment, whose sampling places are computed once."""

    def __init__(self, choice: Alignment | Literal["auto"] | None) -> None:
        """``auto`` needs :meth:`learn` before the first frame; None aligns nothing."""
        self._choice = choice
        self._warp: InfraredWarp | None = None
        self.note = ""  # on what was estimated or refused

    @property
    def frames_to_learn(self) -> int:
        """How many of the first pairs :meth:`learn` wants; 0 for none."""
        return FIRST_FRAMES if self._choice == "auto" else 0

    def learn(self, pairs: Sequence[tuple[Pixels, Pixels]]) -> None:
        """Estimate from the first (infrared, visible) pairs; no better than none means none.

        Raises:
            InputError: frames that cannot be aligned.
        """
        from fsidfusion.alignment.estimate import NotBetterError, estimate

        step = max(1.0, len(pairs) / _USED)
        try:
            self._choice = estimate([pairs[int(place * step)] for place in range(min(_USED, len(pairs)))])
            self.note = f"aligned: {self._choice.summary()}"
        except NotBetterError as refusal:
            self._choice, self.note = None, f"not aligned: {refusal}"

    def __call__(
        self, infrared: Pixels, visible: Pixels, known: NDArray[np.bool_] | None = None
    ) -> Aligned | None:
        """One infrared frame in the visible frame, or None where nothing is to be aligned.

        ``known`` (h, w) is where the infrared frame shows something; None: everywhere.

        Raises:
            InputError: frames of another shape than the alignment's cameras have.
        """
        if not isinstance(self._choice, Alignment):
            return None
        if self._warp is None:
            self._warp = InfraredWarp(self._choice, infrared.shape[:2], visible.shape[:2], padding=False)
        return self._warp(infrared, visible, known)
