"""What DAR learns: scale-invariant log error of every step (arXiv 2411.11361; spec dar.md 6).

With g = ln(predicted) - ln(true) over all valid pixels of the whole batch, a step costs
10 sqrt(mean(g^2) - 0.85 mean(g)^2); the loss is the sum over the K steps. Ours: likelihood.py.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from nearfar.errors import ConfigError
from nearfar.family import TrainingParts, TrainingTarget
from nearfar.models.base import Losses

from .initial import new_network
from .likelihood import bins_cost
from .network import DARNetwork
from .sample import at_photo, sample_steps
from .strips import cut_depth, cut_flip
from .tiny_memory import TinyMemory

GAIN, VARIANCE_SHARE = 10.0, 0.85
_LEAST = 1e-8  # under the root: a finite gradient where the prediction is perfect


class DARObjective:
    """Losses of a batch in metres, sky and unknown depth left out.

    is_capped: truth beyond the config's `far` counts as `far` (released code: as it is, out of
    reach). freeze_encoder: of the tiny encoder. is_checkpointed: less memory, more time. cut_depth,
    cut_flip: probability per photo of the augmentations in strips.py (released: 0.25 and 0).
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
            if not isinstance(network.encoder, TinyMemory):
                raise ConfigError("freeze_encoder", "only the tiny encoder can be frozen")
            network.encoder.freeze()
        network.checkpointed(is_checkpointed)
        self.network = network
        self.is_capped = is_capped
        self.cut_depth = cut_depth
        self.cut_flip = cut_flip
        self.likelihood = likelihood

    def __call__(
        self,
        image_B3HW: Tensor,
        depth_BHW: Tensor,
        *,
        valid_BHW: Tensor,
        sky_BHW: Tensor,
        fov_x_deg_B: Tensor,
        generator: torch.Generator,
    ) -> Losses:
        """Losses: total and parts `step_1` ... `step_K`; `generator` draws the augmentations."""
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
