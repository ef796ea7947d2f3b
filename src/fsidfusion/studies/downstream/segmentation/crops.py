"""What a training step sees: crops that depend on the seed and the step's number alone, not on the input."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from fsidfusion.studies.downstream.inputs import Frame
from fsidfusion.studies.downstream.segmentation.classes import Mask

SCALES = (0.75, 1.6)  # of objects in a crop
GAINS = (0.8, 1.25)  # of grey levels
SHIFT = 0.1  # of grey levels, at most, either way
Batch = tuple[NDArray[np.float32], NDArray[np.int64]]  # crops (B, C, h, w) in 0..1 and masks (B, h, w)

HELD = 2 << 30  # bytes of decoded frames that are kept in memory


class Crops:
    """Random crops of frames and their masks: scaled, mirrored, brighter or darker."""

    def __init__(
        self, frames: Sequence[Frame], masks: Sequence[Mask], crop: tuple[int, int], batch: int, seed: int
    ) -> None:
        """Draw ``batch`` crops of ``crop`` (height, width) a step from (H, W, C) frames and (H, W) masks."""
        self.frames, self.masks, self.crop, self.batch, self.seed = frames, masks, crop, batch, seed
        self._held: dict[int, Frame] = {}
        self._free = HELD

    def __call__(self, step: int) -> Batch:
        """The crops (B, C, h, w) in 0..1 and masks (B, h, w) of a step counted from 0.

        Every frame is seen once before any is seen again.
        """
        crops, masks = zip(*(self._draw(step * self.batch + place) for place in range(self.batch)))
        return np.stack(crops).transpose(0, 3, 1, 2), np.stack(masks).astype(np.int64)

    def _draw(self, number: int) -> tuple[NDArray[np.float32], Mask]:
        round_, place = divmod(number, len(self.frames))
        chosen = int(np.random.default_rng((self.seed, 0, round_)).permutation(len(self.frames))[place])
        rng = np.random.default_rng((self.seed, 1, number))
        frame, mask = self._frame(chosen), self.masks[chosen]
        height, width = self.crop
        least = max(height / mask.shape[0], width / mask.shape[1])  # at which the window fits
        scale = max(least, np.exp(rng.uniform(*np.log(SCALES))))
        window = round(height / scale), round(width / scale)
        top, left = (int(rng.integers(side - part + 1)) for side, part in zip(mask.shape, window))
        part = slice(top, top + window[0]), slice(left, left + window[1])
        pixels = cv2.resize(frame[part], (width, height), interpolation=cv2.INTER_LINEAR)
        labels = cv2.resize(mask[part], (width, height), interpolation=cv2.INTER_NEAREST)
        if rng.random() < 0.5:
            pixels, labels = pixels[:, ::-1], labels[:, ::-1]
        levels = pixels * np.float32(rng.uniform(*GAINS) / 255) + np.float32(rng.uniform(-SHIFT, SHIFT))
        return np.clip(levels, 0, 1), labels  # type: ignore[return-value]

    def _frame(self, place: int) -> Frame:
        if place in self._held:
            return self._held[place]
        frame = self.frames[place]
        if frame.nbytes <= self._free:
            self._held[place] = frame
            self._free -= frame.nbytes
        return frame
