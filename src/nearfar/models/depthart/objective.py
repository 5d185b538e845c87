"""What depth VAR and DepthART learn: codes of the depth map, by cross-entropy (depthart.md 3).

TeacherForcing: the tokens of the depth map, given the tokens before them. DynamicTargets: what is
missing after the network's own choices, given those; optionally with the last scale as a soft sum
of codes, f_hat_K = f_hat_(K-1) + eta_K(sum_v softmax(logits + gumbel)_v e_v), in a squared error
against the features of the depth map. Cross-entropy is the mean over places and batch.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from nearfar.encoders.base import SemanticEncoder
from nearfar.errors import ConfigError
from nearfar.family import TrainingParts, TrainingTarget
from nearfar.geometry.depth_curves import preview_depth
from nearfar.models.base import Losses
from nearfar.tokenizers.quantizer import as_map

from .choose import choice
from .code_objective import CodeObjective, code_losses, gumbel_noise
from .dynamic_targets import roll_out
from .network import DepthARTNetwork, new_network
from .sample import sample_f_hat
from .square import squash_photo


class TeacherForcing(CodeObjective):
    """The depth VAR baseline. Released code leaves out the start token's position."""

    def losses(self, photo_BMC: Tensor, f_BCHW: Tensor, *, generator: torch.Generator) -> Losses:
        quantizer = self.network.tokenizer.quantize
        indices, partial_sums = quantizer.encode(f_BCHW)
        keep_K2B = self._keep(len(f_BCHW), generator, f_BCHW.device)
        logits_BLV = self.network.masked_logits(
            photo_BMC,
            quantizer.teacher_inputs(partial_sums),
            detach_inputs=False,
            keep_K2B=keep_K2B,
        )
        return code_losses(logits_BLV, torch.cat(indices, dim=1))


class DynamicTargets(CodeObjective):
    """DepthART; reconstruction_weight > 0 (released: 10) replaces the last scale's codes."""

    def __init__(
        self,
        network: DepthARTNetwork,
        encoder: SemanticEncoder | None = None,
        *,
        drop_path: float = 0.0,
        reconstruction_weight: float = 0.0,
    ) -> None:
        if reconstruction_weight < 0:
            raise ConfigError("reconstruction_weight", f"{reconstruction_weight} is negative")
        super().__init__(network, encoder, drop_path=drop_path)
        self.reconstruction_weight = reconstruction_weight

    def losses(self, photo_BMC: Tensor, f_BCHW: Tensor, *, generator: torch.Generator) -> Losses:
        rollout = roll_out(self.network, photo_BMC, f_BCHW)
        keep_K2B = self._keep(len(f_BCHW), generator, f_BCHW.device)
        logits_BLV = self.network.masked_logits(
            photo_BMC, rollout.inputs_BLC, detach_inputs=True, keep_K2B=keep_K2B
        )
        if self.reconstruction_weight == 0:
            return code_losses(logits_BLV, rollout.target_BL)
        last = self.network.config.tokenizer.grid**2
        codes = code_losses(logits_BLV[:, :-last], rollout.target_BL[:, :-last])
        last_BLV = logits_BLV[:, -last:]
        noise_BLV = gumbel_noise(last_BLV, generator=generator)
        error = self.reconstruction_error(
            last_BLV + noise_BLV, f_BCHW=f_BCHW, f_hat_BCHW=rollout.before_last_BCHW
        )
        parts = codes.parts | {"reconstruction": error.detach()}
        return Losses(codes.total + self.reconstruction_weight * error, parts)

    def reconstruction_error(
        self, logits_BLV: Tensor, *, f_BCHW: Tensor, f_hat_BCHW: Tensor
    ) -> Tensor:
        """Mean squared error of f_hat_K with softly chosen codes at the last scale."""
        quantizer, scales = self.network.tokenizer.quantize, self.network.config.tokenizer.scales
        soft_BLC = logits_BLV.softmax(dim=-1) @ quantizer.embedding.weight.float()
        f_hat_BCHW = quantizer.accumulate(f_hat_BCHW, as_map(soft_BLC), scale=len(scales) - 1)
        return F.mse_loss(f_hat_BCHW, f_BCHW)


def dynamic_target(parts: TrainingParts) -> TrainingTarget:
    """The network taught by dynamic targets."""
    return _target(parts, DynamicTargets)


def teacher_target(parts: TrainingParts) -> TrainingTarget:
    """The same network taught by the depth map's own tokens."""
    return _target(parts, TeacherForcing)


def _target(parts: TrainingParts, objective: Any) -> TrainingTarget:
    """The transformer on a frozen tokenizer and, by preset, a frozen encoder."""
    config = parts.config
    encoder = parts.frozen_encoder() if config.prefix == "encoder" else None
    network = new_network(config, generator=parts.generator())
    parts.put_tokenizer(network.tokenizer)
    network.to(parts.device)
    options = parts.options(objective)

    def preview(image_B3HW: Tensor, generator: torch.Generator, steps: int) -> Tensor:
        photo_BMC = network.photo_vectors(squash_photo(image_B3HW, config), encoder)
        started, generators = network.begin(photo_BMC), [generator] * len(image_B3HW)
        f_hat_BCHW = sample_f_hat(network, started, choose=choice("greedy"), generators=generators)
        return preview_depth(
            network.tokenizer.decode(f_hat_BCHW),
            curve=config.curve,
            size_hw=(image_B3HW.shape[-2], image_B3HW.shape[-1]),
        )

    return TrainingTarget(
        network=network,
        objective=objective(network, encoder, **options),
        preview=preview,
        family="depthart",
        preset=parts.preset,
        encoder="" if encoder is None else encoder.name,
        encoder_sha256="" if encoder is None else parts.encoder_sha256(),
    )
