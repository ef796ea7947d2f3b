"""How a detector is trained."""

from dataclasses import dataclass

from fsidfusion.errors import InputError

MULTIPLE = 16  # of the height and width of frames


@dataclass(frozen=True)
class DetectConfig:
    """How every detector is trained; the same for every input."""

    size: tuple[int, int] = (240, 320)
    """height and width that frames are scaled to, multiples of 16"""
    epochs: int = 80
    """passes over the training frames"""
    batch: int = 8
    """frames of a step"""
    learning_rate: float = 2e-3
    """greatest rate of AdamW; it rises over the first twentieth and falls as a cosine"""
    weight_decay: float = 0.02
    """of AdamW"""
    width: int = 16
    """channels of the first layer"""
    average: float = 0.1
    """share of the steps that the moving average of the weights, which is the detector, reaches back"""
    box_weight: float = 4.0
    """of the loss of the boxes beside that of the likelihoods"""

    def check(self) -> None:
        """InputError for values that cannot be trained with."""
        if min(self.epochs, self.batch) < 1:
            raise InputError(f"{self.epochs} epochs in batches of {self.batch}: expected 1 or more of each")
        if any(side % MULTIPLE or side <= 0 for side in self.size):
            raise InputError(f"size {self.size} should be two multiples of {MULTIPLE}, such as 240 320")
