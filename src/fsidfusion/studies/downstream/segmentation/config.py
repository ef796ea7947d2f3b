"""How a segmenter is trained."""

from dataclasses import dataclass

from fsidfusion.errors import InputError

STRIDE = 16  # sides of the network's input are multiples of this


@dataclass(frozen=True)
class SegmentConfig:
    """How every segmenter is trained."""

    steps: int = 2000
    """training steps"""
    batch: int = 4
    """crops a step"""
    crop: tuple[int, int] = (144, 192)
    """height and width of the crops in pixels, multiples of 16"""
    learning_rate: float = 2e-3
    """at its peak: it rises over the first steps, then falls as a cosine to 0"""
    warmup: float = 0.05
    """share of the steps over which the learning rate rises"""
    weight_decay: float = 0.01
    """of AdamW"""
    dice: float = 1.0
    """weight of the dice term beside the cross-entropy"""
    rare: float = 0.3
    """class weights of the cross-entropy are the class's share to the power of minus this; 0: all equal"""

    def check(self) -> None:
        """InputError for values that cannot be trained with."""
        if min(self.steps, self.batch, *self.crop) < 1:
            raise InputError("steps, batch and crop must be at least 1")
        if any(side % STRIDE for side in self.crop):
            raise InputError(f"crop {self.crop[0]}x{self.crop[1]} must be of multiples of {STRIDE}")
