"""What depth VAR and DepthART learn: codes, by cross-entropy (docs/nextscale.md section 2).

TeacherForcing: the tokens of the depth map, given the tokens before them. DynamicTargets: what is
missing after the network's own choices, given those; optionally with the last scale as a soft sum
of codes, f_hat_K = f_hat_(K-1) + eta_K(sum_v softmax(logits + gumbel)_v e_v), in a squared error
against the features of the depth map. Cross-entropy is the mean over places and batch.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from nearfar.batch import DepthBatch
from nearfar.encoders.base import SemanticEncoder
from nearfar.errors import ConfigError
from nearfar.family import TrainingParts, TrainingTarget
from nearfar.geometry.depth_curves import preview_depth
from nearfar.models.base import Losses
from nearfar.tokenizers.quantizer import as_map, float32_island

from .network import DepthARTNetwork, new_network
from .sample import choice, sample_f_hat
from .square import squash_depth

# What both objectives share: photo and depth map through the frozen tokenizer, cross-entropy.
#
# Shapes: B batch, L tokens, M photo tokens, V codes, C code width, K blocks.


class CodeObjective:
    """Losses of a batch, given `losses` of photo vectors and features of the depth map.

    drop_path: chance that a branch of the last block is left out of a sample, rising over depth.
    """

    def __init__(
        self,
        network: DepthARTNetwork,
        encoder: SemanticEncoder | None = None,
        *,
        drop_path: float = 0.0,
    ) -> None:
        if not 0 <= drop_path < 1:
            raise ConfigError("drop_path", f"{drop_path} is not within 0..1 (1 excluded)")
        self.network, self.encoder, self.drop_path = network, encoder, drop_path

    def __call__(self, batch: DepthBatch, *, generator: torch.Generator) -> Losses:
        """Losses of photos in 0..1 and maps in metres."""
        image_B3HW, depth_BHW, valid_BHW, sky_BHW, _ = batch
        depth_BCHW = squash_depth(
            depth_BHW, valid_BHW=valid_BHW, sky_BHW=sky_BHW, config=self.network.config
        )
        with torch.no_grad(), float32_island(image_B3HW):
            photo_BMC = self.network.photo_vectors(image_B3HW, self.encoder)
            f_BCHW = self.network.tokenizer.features(depth_BCHW)
        return self.losses(photo_BMC, f_BCHW, generator=generator)

    def losses(self, photo_BMC: Tensor, f_BCHW: Tensor, *, generator: torch.Generator) -> Losses:
        """Losses of photo vectors and the features of the depth map."""
        raise TypeError(f"{type(self).__name__} has no losses")

    def _keep(self, batch: int, generator: torch.Generator, device: torch.device) -> Tensor | None:
        """Factors [K,2,B] of the branches of every block (K blocks), None without drop_path."""
        depth = self.network.config.depth
        if self.drop_path == 0 or not torch.is_grad_enabled():
            return None
        rate_K11 = self.drop_path * torch.linspace(0, 1, depth)[:, None, None]
        drawn_K2B = torch.rand(depth, 2, batch, generator=generator, device=generator.device)
        keep_K2B = (drawn_K2B.cpu() >= rate_K11) / (1 - rate_K11)
        return keep_K2B.to(device)


def code_losses(logits_BLV: Tensor, target_BL: Tensor) -> Losses:
    """Cross-entropy in nats, and the share of right codes."""
    loss = F.cross_entropy(logits_BLV.flatten(0, 1), target_BL.flatten())
    right = (logits_BLV.argmax(dim=-1) == target_BL).float().mean()
    return Losses(loss, {"cross_entropy": loss.detach(), "accuracy": right.detach()})


def gumbel_noise(like_BLV: Tensor, *, generator: torch.Generator) -> Tensor:
    """-ln(-ln u) with u uniform, in the shape and on the device of `like`."""
    drawn = torch.empty(like_BLV.shape, device=generator.device)
    return -drawn.exponential_(generator=generator).log().to(like_BLV.device)


# Targets from the network's own choices: what is left to say after them (arXiv 2409.15010).
#
# target_k = Q_k[f_D - sum over i < k of eta_i(z_i)], z_i = argmax of the network's logits at scale
# i (docs/nextscale.md section 2). First of two passes: a generation without gradients records the
# choices; the second is `network.masked_logits` on them. Same logits and gradients as one pass.


class Rollout(NamedTuple):
    """target_BL: codes to predict at every place. inputs_BLC: of scales 2..K, by own choices.

    before_last_BCHW: f_hat_(K-1), what the last scale adds to.
    """

    target_BL: Tensor
    inputs_BLC: Tensor
    before_last_BCHW: Tensor


@torch.no_grad()
def roll_out(network: DepthARTNetwork, photo_BMC: Tensor, f_BCHW: Tensor) -> Rollout:
    """Generate greedily from photos, and look up what each scale should have said of f."""
    quantizer, scales = network.tokenizer.quantize, network.config.tokenizer.scales
    cache, logits_BLV = network.begin(photo_BMC)
    f_hat_BCHW = before_last_BCHW = torch.zeros_like(f_BCHW)
    targets, inputs = [], [f_BCHW.new_zeros((len(f_BCHW), 0, f_BCHW.shape[1]))]
    for scale in range(len(scales)):
        targets.append(quantizer.nearest_at(f_BCHW - f_hat_BCHW, scale=scale))
        before_last_BCHW = f_hat_BCHW
        if scale + 1 == len(scales):
            break
        codes_BChw = as_map(quantizer.embed(logits_BLV.argmax(dim=-1)))
        f_hat_BCHW = quantizer.accumulate(f_hat_BCHW, codes_BChw, scale=scale)
        inputs_BChw = quantizer.inputs_of_next_scale(f_hat_BCHW, scale=scale)
        inputs.append(inputs_BChw.flatten(2).transpose(1, 2))
        if scale + 2 < len(scales):  # the last scale's logits come with gradients, in pass two
            logits_BLV = network.step(inputs_BChw, scale=scale + 1, cache=cache)
    return Rollout(torch.cat(targets, dim=1), torch.cat(inputs, dim=1), before_last_BCHW)


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
        photo_BMC = network.photo_vectors(image_B3HW, encoder)
        prefill, generators = network.begin(photo_BMC), [generator] * len(image_B3HW)
        f_hat_BCHW = sample_f_hat(network, prefill, choose=choice("greedy"), generators=generators)
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
