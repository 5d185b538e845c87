"""What DAR learns: scale-invariant log error of every step (docs/dar.md section 6).

With g = ln(predicted) - ln(true) over all valid pixels of the whole batch, a step costs
10 sqrt(mean(g^2) - 0.85 mean(g)^2); the loss (arXiv 2411.11361) is the sum over the K steps. Ours:
bins_cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from nearfar.batch import DepthBatch
from nearfar.errors import ConfigError
from nearfar.family import TrainingParts, TrainingTarget
from nearfar.models.base import Losses

from .network import DARNetwork, new_network
from .photo_encoder import SmallMemory
from .sample import Step, at_photo, sample_steps

# How likely the truth was by a step's bins: what teaches them to spread (ours, not the paper's).
#
# -sum_i y_i ln p_i, the mean over pixels whose truth the bins hold; y shares the truth (that of the
# nearest pixel) between the two centers beside it. The paper's loss sees only the mean of the bins,
# so that their spread means nothing, and 15 % of an error in scale. Only the first step's bins hold
# nearly every truth: later ones are narrower than what a photo tells.

_SMALLEST = 1e-30  # probability: far bins must still pull
_NEAREST = 1e-8  # metres, for a finite logarithm where the truth is unknown


def bins_cost(network: DARNetwork, step: Step, truth_BHW: Tensor) -> Tensor:
    """Cross-entropy of a step's bins; 0 (with zero gradients) if they hold no truth.

    truth_BHW: metres at the photo's size, 0 where unknown.
    """
    assert step.shares is not None
    share_BChw, centers_BChw = step.shares
    height, width = truth_BHW.shape[-2:]
    padded = network.padded_size((height, width))
    truth_B1HW = F.pad(truth_BHW[:, None].float(), (0, padded[1] - width, 0, padded[0] - height))
    size_hw = (share_BChw.shape[-2], share_BChw.shape[-1])
    truth_B1hw = F.interpolate(truth_B1HW, size=size_hw, mode="nearest-exact")
    is_known_B1hw = truth_B1hw > 0
    if network.config.spacing == "log":
        truth_B1hw = truth_B1hw.clamp_min(_NEAREST).log()
    width_B1hw = centers_BChw[:, 1:2] - centers_BChw[:, :1]
    within_B1hw = truth_B1hw.clamp(centers_BChw[:, :1], centers_BChw[:, -1:])
    is_held_B1hw = is_known_B1hw & ((truth_B1hw - within_B1hw).abs() <= width_B1hw / 2)
    wanted_BChw = (1 - (centers_BChw - within_B1hw).abs() / width_B1hw).clamp_min(0)
    surprise_B1hw = -(wanted_BChw * share_BChw.clamp_min(_SMALLEST).log()).sum(dim=1, keepdim=True)
    return (surprise_B1hw * is_held_B1hw).sum() / is_held_B1hw.sum().clamp_min(1)


# Augmentations of DAR's recipe that exchange parts of a photo (docs/dar.md section 7).
#
# CutDepth: a vertical strip of the photo shows its depth instead. Released code writes millimetres
# into 8 bits, modulo 256; here it is depth / far, grey. Cut flip: the parts above and below a
# random height change places, in photo and depth alike.

_LONGEST = 0.75  # of what is left of the photo right of the strip's start
_HEIGHTS = (0.2, 0.8)


class Flipped(NamedTuple):
    """Photo, depth and mask after the same change."""

    image_B3HW: Tensor
    depth_BHW: Tensor
    valid_BHW: Tensor


def cut_depth(
    image_B3HW: Tensor,
    depth_BHW: Tensor,
    *,
    far: float,
    chance: float,
    generator: torch.Generator,
) -> Tensor:
    """Photos 0..1 of which some carry a strip of grey depth / far (unknown, 0, is black).

    Strip [l, l + w): l = int(a W), w = int(max(0.75 (W - a W) b, 1)), a and b uniform in 0..1.
    """
    W = image_B3HW.shape[-1]
    draw_B3 = _uniform(len(image_B3HW), 3, generator).to(image_B3HW.device)
    start_B = draw_B3[:, 0] * W
    length_B = ((W - start_B) * draw_B3[:, 1] * _LONGEST).clamp_min(1).floor()
    column_W = torch.arange(W, device=image_B3HW.device)
    left_B = start_B.floor()
    inside_BW = (column_W >= left_B[:, None]) & (column_W < (left_B + length_B)[:, None])
    inside_BW &= (draw_B3[:, 2] < chance)[:, None]
    grey_B1HW = (depth_BHW / far).clamp(0, 1)[:, None].to(image_B3HW.dtype)
    return torch.where(inside_BW[:, None, None], grey_B1HW, image_B3HW)


def cut_flip(
    image_B3HW: Tensor,
    depth_BHW: Tensor,
    valid_BHW: Tensor,
    *,
    chance: float,
    generator: torch.Generator,
) -> Flipped:
    """Some photos rolled vertically, so that the lower part of 0.2..0.8 H comes first."""
    B, _, H, _ = image_B3HW.shape
    draw_B2 = _uniform(B, 2, generator).to(image_B3HW.device)
    low, high = _HEIGHTS
    cut_B = ((low + (high - low) * draw_B2[:, 0]) * H).long()
    shift_B = torch.where(draw_B2[:, 1] < chance, cut_B, 0)
    row_BH = (torch.arange(H, device=image_B3HW.device) + shift_B[:, None]) % H
    photo_B1 = torch.arange(B, device=image_B3HW.device)[:, None]
    return Flipped(
        image_B3HW.transpose(1, 2)[photo_B1, row_BH].transpose(1, 2),
        depth_BHW[photo_B1, row_BH],
        valid_BHW[photo_B1, row_BH],
    )


def _uniform(rows: int, columns: int, generator: torch.Generator) -> Tensor:
    return torch.rand(rows, columns, generator=generator, device=generator.device)


GAIN, VARIANCE_SHARE = 10.0, 0.85
_LEAST = 1e-8  # under the root: a finite gradient where the prediction is perfect


class DARObjective:
    """Losses of a batch in metres, sky and unknown depth left out.

    is_capped: truth beyond the config's `far` counts as `far` (released code: as it is, out of
    reach). freeze_encoder: if it is small. is_checkpointed: less memory, more time. cut_depth,
    cut_flip: probability per photo of those augmentations (released: 0.25 and 0).
    likelihood: weight of the first bins' cross-entropy, 0 = as the paper.
    """

    def __init__(
        self,
        network: DARNetwork,
        *,
        is_capped: bool = False,
        freeze_encoder: bool = False,
        is_checkpointed: bool = False,
        cut_depth: float = 0.0,
        cut_flip: float = 0.0,
        likelihood: float = 0.0,
    ) -> None:
        for name, chance in (("cut_depth", cut_depth), ("cut_flip", cut_flip)):
            if not 0 <= chance <= 1:
                raise ConfigError(name, f"{chance} is not a probability")
        if freeze_encoder:
            if not isinstance(network.encoder, SmallMemory):
                raise ConfigError("freeze_encoder", "only a small encoder can be frozen")
            network.encoder.freeze()
        network.checkpointed(is_checkpointed)
        self.network = network
        self.is_capped = is_capped
        self.cut_depth = cut_depth
        self.cut_flip = cut_flip
        self.likelihood = likelihood

    def __call__(self, batch: DepthBatch, *, generator: torch.Generator) -> Losses:
        """Losses: total and parts `step_1` ... `step_K`; `generator` draws the augmentations."""
        image_B3HW, depth_BHW, valid_BHW, _, _ = batch
        network, far = self.network, self.network.config.far
        if network.training and self.cut_flip > 0:
            image_B3HW, depth_BHW, valid_BHW = cut_flip(
                image_B3HW, depth_BHW, valid_BHW, chance=self.cut_flip, generator=generator
            )
        if network.training and self.cut_depth > 0:
            known_BHW = torch.where(valid_BHW, depth_BHW, 0.0)
            image_B3HW = cut_depth(
                image_B3HW, known_BHW, far=far, chance=self.cut_depth, generator=generator
            )
        if self.is_capped:
            depth_BHW = depth_BHW.clamp_max(far)
        size_hw = (image_B3HW.shape[-2], image_B3HW.shape[-1])
        sizes_hw = network.sizes(network.padded_size(size_hw))
        encoded = network.encode(image_B3HW)
        steps = sample_steps(network, encoded, sizes_hw, stop_at=len(sizes_hw))
        depths = [at_photo(network, step.depth_B1hw, size_hw) for step in steps]
        losses = silog_losses(depths, depth_BHW, valid_BHW=valid_BHW)
        if self.likelihood == 0:
            return losses
        truth_BHW = torch.where(valid_BHW, depth_BHW, 0.0)
        cost = bins_cost(network, steps[0], truth_BHW)
        total = losses.total + self.likelihood * cost
        return Losses(total, losses.parts | {"bins": cost.detach()})


def silog_losses(
    depths: Sequence[Tensor], truth_BHW: Tensor, *, valid_BHW: Tensor | None = None
) -> Losses:
    """The sum over steps and each step's part; 0 (with zero gradients) if no pixel is valid.

    depths: one map [B,H,W] a step, in metres. valid_BHW: which truth counts, besides being above 0.
    """
    usable_BHW = truth_BHW > 0 if valid_BHW is None else valid_BHW & (truth_BHW > 0)
    count = usable_BHW.sum()
    log_BHW = torch.where(usable_BHW, truth_BHW, 1.0).log()
    costs = []
    for depth_BHW in depths:
        g_BHW = torch.where(usable_BHW, depth_BHW.log() - log_BHW, 0.0)
        mean = g_BHW.sum() / count.clamp_min(1)
        square = g_BHW.square().sum() / count.clamp_min(1)
        root = (square - VARIANCE_SHARE * mean.square()).clamp_min(_LEAST).sqrt()
        costs.append(torch.where(count > 0, GAIN * root, 0.0 * depth_BHW.sum()))
    parts = {f"step_{i}": cost.detach() for i, cost in enumerate(costs, start=1)}
    return Losses(torch.stack(costs).sum(), parts)


def target(parts: TrainingParts) -> TrainingTarget:
    """DAR with the photo encoder that a recipe names, trained along."""
    drawn = parts.generator()
    network = new_network(parts.config, generator=drawn)
    started_from = parts.put_backbone(network.encoder.backbone)
    network.to(parts.device)
    options = parts.options(DARObjective)

    def preview(image_B3HW: Tensor, generator: torch.Generator, steps: int) -> Tensor:
        size_hw = (image_B3HW.shape[-2], image_B3HW.shape[-1])
        sizes_hw = network.sizes(network.padded_size(size_hw))
        found = sample_steps(network, network.encode(image_B3HW), sizes_hw, stop_at=len(sizes_hw))
        return torch.log1p(at_photo(network, found[-1].depth_B1hw, size_hw))

    return TrainingTarget(
        network=network,
        objective=DARObjective(network, **options),
        preview=preview,
        family="dar",
        preset=parts.preset,
        encoder_sha256=started_from,  # the photo encoder itself is saved inside
        blocks=network.blocks(),
    )
