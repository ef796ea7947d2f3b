"""What the method claims about its features, measured on pairs of images.

The paper takes a pair apart into shared and specific features and claims that its interaction brings the
shared features of both modalities together, that the specific ones have little in common, and that holding
them to reconstruction (its regularisation of stage II) keeps all of them from drifting away from what stage I
has learnt. It prints no formula for any of this; ours are :func:`correlation`, :func:`similarity` and
:func:`drift`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from fsidfusion.errors import FusionError, InputError, ModelError
from fsidfusion.images.pairs import Pair
from fsidfusion.network.fsidfusion import FSIDFusion
from fsidfusion.network.light import LightFusion
from fsidfusion.training.sources import read_luma

TRAINED, STAGE_ONE, FREE = "trained", "stage I", "without regularisation"  # the networks of an explanation
PLACES = ("shared before", "shared after", "specific")  # where the two modalities are compared
PARTS = ("shared", "infrared specific", "visible specific")  # what drifts
Modalities = tuple[Tensor, Tensor]  # features of infrared and visible, (C, H, W) each


class Features(NamedTuple):
    """The features of one pair on their way to the decoder."""

    shared_before: Modalities  # what goes into the interaction
    shared_after: Modalities  # what comes out of it, before the gate joins it
    specific: Modalities
    shared: Tensor  # (C, H, W) that the decoder gets


@dataclass(frozen=True)
class Agreement:
    """How alike the features of both modalities are at one place."""

    correlation: float  # mean over the channels of Pearson's r, -1..1
    strength: float  # mean of |r|, 0..1
    similarity: float  # linear CKA, 0..1


@dataclass(frozen=True)
class Drift:
    """How far features have moved away from those of stage I."""

    distance: float  # |now - then| / |then|, 0 where nothing has moved
    dissimilarity: float  # 1 - linear CKA, 0..1: blind to scale and to turns of the feature space


@dataclass(frozen=True)
class Explained:
    """The figures of one pair, and what is needed to draw it."""

    pair: str
    agreement: dict[str, Agreement]  # by PLACES, of the trained network
    drift: dict[str, dict[str, Drift]]  # network (TRAINED, FREE): part
    reconstruction: dict[str, float]  # network: mean absolute error of both images in grey levels
    infrared: NDArray[np.uint8]
    visible: NDArray[np.uint8]
    fused: NDArray[np.uint8]
    features: Features
    moved: dict[str, NDArray[np.float32]] = field(default_factory=dict)  # network: drift of shared, (H, W)


def explain(
    networks: Mapping[str, nn.Module],
    pairs: Sequence[Pair],
    size: int = 256,
    on_pair: Callable[[object], None] | None = None,
) -> tuple[list[Explained], list[str]]:
    """Measure the claims on pairs.

    Args:
        networks: TRAINED, and if they are at hand STAGE_ONE (drift is measured from it) and FREE (trained
            from the same stage I with reconstruction_weight 0); all of one architecture and configuration.
        pairs: pictures; luma is what is looked at.
        size: side of the middle part of each picture that is looked at, in pixels; 0: all of it.
        on_pair: called after each pair.

    Returns:
        the figures of each pair, and one line for each pair that could not be read.

    Raises:
        InputError: networks of different kinds, or one that has no shared and specific features; no pair
            left.
    """
    trained = networks[TRAINED]
    for name, network in networks.items():
        if (network.architecture, network.config) != (trained.architecture, trained.config):
            raise ModelError(
                f"the weights of {name} are of {network.architecture} {network.config}, the trained ones of "
                f"{trained.architecture} {trained.config}; give weights of one network"
            )
    done, failed = [], []
    for pair in pairs:
        try:
            images = _images(pair, size, int(trained.size_multiple))  # type: ignore[arg-type]
        except FusionError as error:
            failed.append(str(error))
        else:
            done.append(_explain(networks, pair.name, *images))
        if on_pair:
            on_pair(pair)
    if not done:
        raise InputError(f"no pair could be read; the first: {failed[0] if failed else 'none was given'}")
    return done, failed


@torch.no_grad()
def take_apart(network: nn.Module, infrared: Tensor, visible: Tensor) -> Features:
    """The features of one pair, (1, 1, H, W) each in 0..1, in the network's evaluation mode.

    InputError for a network that has none.
    """
    if isinstance(network, FSIDFusion):
        encoder, interaction = network.encoder, network.encoder.interaction
        ends = (interaction.infrared_out, interaction.visible_out)
        with _outputs((encoder.infrared_shared, encoder.visible_shared, *ends)) as outputs:
            features = network.features(infrared, visible)
        before, after = outputs[:2], outputs[2:]
        shared, specific = features.shared, (features.infrared_specific, features.visible_specific)
    elif isinstance(network, LightFusion):
        joined = network.features(infrared, visible)  # (1, 2C, H/2, W/2)
        before = [network.apart(F.pixel_unshuffle(image, 2))[0] for image in (infrared, visible)]
        first, second, *rest = joined.chunk(4, 1)
        after, specific = [first, second], (rest[0], rest[1])
        shared = torch.cat((first, second), 1)
    else:
        raise InputError(f"{type(network).__name__} has no shared and specific features to be explained")
    return Features(
        (before[0][0], before[1][0]), (after[0][0], after[1][0]), (specific[0][0], specific[1][0]), shared[0]
    )


@contextmanager
def _outputs(modules: Sequence[nn.Module]) -> Iterator[list[Any]]:
    """What each module returns while the block runs, in the order of the modules."""
    kept: list[Any] = [None] * len(modules)

    def keep(place: int) -> Callable[[nn.Module, object, Any], None]:
        def hook(_: nn.Module, __: object, output: Any) -> None:
            kept[place] = output

        return hook

    hooks = [module.register_forward_hook(keep(place)) for place, module in enumerate(modules)]
    try:
        yield kept
    finally:
        for handle in hooks:
            handle.remove()


def correlation(a: Tensor, b: Tensor) -> tuple[float, float]:
    """Mean and mean magnitude of Pearson's r over pixels, channel by channel; (C, H, W) each.

    Channels are compared with their namesakes, since the network joins them so: the gate blends the shared
    ones and the specific ones are added, both channel by channel. As in the decomposition loss of CDDFuse
    (Zhao et al., 2023). Channels that are constant in one of the two are left out.
    """
    first, second = (x.flatten(1).double() for x in (a, b))
    first, second = (x - x.mean(1, keepdim=True) for x in (first, second))
    norms = first.norm(dim=1) * second.norm(dim=1)
    r = ((first * second).sum(1) / norms)[norms > 1e-12]
    return float(r.mean()), float(r.abs().mean())


def similarity(a: Tensor, b: Tensor) -> float:
    """Linear CKA of two feature maps (C, H, W), pixels as samples: 0..1, 1 for equal up to turn and scale.

    |A^T B|^2 / (|A^T A| |B^T B|) of centred A, B (pixels, channels), Frobenius norms (Kornblith et al.,
    2019); no matching of channels is assumed.
    """
    first, second = (x.flatten(1).double() for x in (a, b))
    first, second = (x - x.mean(1, keepdim=True) for x in (first, second))
    own = (first @ first.T).norm() * (second @ second.T).norm()
    return float((first @ second.T).square().sum() / own.clamp_min(1e-24))


def drift(then: Tensor, now: Tensor) -> Drift:
    """How far features (C, H, W) have moved: relative Frobenius distance, and one minus linear CKA."""
    return Drift(float((now - then).norm() / then.norm().clamp_min(1e-12)), 1 - similarity(then, now))


def _explain(
    networks: Mapping[str, nn.Module], name: str, infrared: NDArray[np.uint8], visible: NDArray[np.uint8]
) -> Explained:
    device = next(networks[TRAINED].parameters()).device
    images = [torch.from_numpy(side)[None, None].to(device).float() / 255 for side in (infrared, visible)]
    features = {key: take_apart(network, *images) for key, network in networks.items()}
    trained = features[TRAINED]
    places = (trained.shared_before, trained.shared_after, trained.specific)
    agreement = {
        place: Agreement(*correlation(*both), similarity(*both)) for place, both in zip(PLACES, places)
    }
    drifts: dict[str, dict[str, Drift]] = {}
    moved = {}
    if STAGE_ONE in features:
        then = _parts(features[STAGE_ONE])
        for key in (TRAINED, FREE):
            if key in features:
                now = _parts(features[key])
                drifts[key] = {part: drift(then[part], now[part]) for part in PARTS}
                shift = (now["shared"] - then["shared"]).norm(dim=0) / then["shared"].norm(dim=0).mean()
                moved[key] = shift.cpu().numpy()
    return Explained(
        name,
        agreement,
        drifts,
        {key: _reconstruction(network, *images) for key, network in networks.items()}
        if hasattr(networks[TRAINED], "reconstruct")
        else {},
        infrared,
        visible,
        _fused(networks[TRAINED], *images),
        trained,
        moved,
    )


def _parts(features: Features) -> dict[str, Tensor]:
    return dict(zip(PARTS, (features.shared, *features.specific)))


@torch.no_grad()
def _reconstruction(network: nn.Module, infrared: Tensor, visible: Tensor) -> float:
    decoded = network.reconstruct(infrared, visible)  # type: ignore[operator]
    errors = [(image - hat).abs().mean() for image, hat in zip((infrared, visible), decoded)]
    return float(255 * torch.stack(errors).mean())


@torch.no_grad()
def _fused(network: nn.Module, infrared: Tensor, visible: Tensor) -> NDArray[np.uint8]:
    fused = network(infrared, visible)[0, 0].float().clamp(0, 1).cpu().numpy()
    return np.rint(fused * 255).astype(np.uint8)


def _images(pair: Pair, size: int, multiple: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    infrared, visible = read_luma(pair.infrared), read_luma(pair.visible)
    if infrared.shape != visible.shape:
        sizes = " and ".join(f"{image.shape[1]}x{image.shape[0]}" for image in (infrared, visible))
        raise InputError(f"{pair.name}: the images differ in size, {sizes}; give aligned pairs of one size")
    sides = [min(side, size or side) // multiple * multiple for side in infrared.shape]
    if min(sides) < 8:
        raise InputError(
            f"{pair.name}: {infrared.shape[1]}x{infrared.shape[0]} pixels are too few; expected 8 or more"
        )
    top, left = ((whole - side) // 2 for whole, side in zip(infrared.shape, sides))
    window = np.s_[top : top + sides[0], left : left + sides[1]]
    return np.ascontiguousarray(infrared[window]), np.ascontiguousarray(visible[window])
