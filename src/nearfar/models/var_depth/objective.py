"""What VAR-Depth learns: the codes of the depth map at all ten scales (spec var_depth.md A2, C6).

Teacher forcing shows the network the map's own f_hat. With self-refinement it sees f_hat of its
own greedy codes, and learns Q_k[f - f_hat_(k-1)], what is left to say (DepthART's dynamic targets,
arXiv 2409.15010). Scales see each other through f_hat alone, so both cost the same.
"""

from __future__ import annotations

import torch
from torch import Tensor

from nearfar.encoders.base import SemanticEncoder
from nearfar.errors import ConfigError
from nearfar.family import TrainingParts, TrainingTarget
from nearfar.geometry.depth_curves import preview_depth
from nearfar.models.base import Losses
from nearfar.tokenizers.quantizer import float32_island

from .choose import Choose
from .initial import new_network
from .limits import require_stages
from .losses import affine_loss, code_loss, expected_f_hat, soft_code_loss, token_weights
from .network import VarDepthNetwork
from .passes import Pass, grown, own_pass, teacher_pass
from .sample import sample_f_hat
from .square import Square, squash, squash_photo

DEPTH_SHARE = 0.25  # of batches that pay for a decoder pass


class VarDepthObjective:
    """Losses of a batch.

    balanced: scales count by their side, not by their area. condition_dropout: share of samples
    without a photo. self_refinement: share of batches on own codes, growing from 0 over the first
    half if the trainer tells `at` how far it is. soft_targets: near codes count too.
    depth_weight: of the affine-invariant loss in pixels, through the frozen decoder, on a quarter
    of the batches. feature_weight: of the error of the expected f_hat.
    """

    def __init__(
        self,
        network: VarDepthNetwork,
        encoder: SemanticEncoder | None = None,
        *,
        balanced: bool = True,
        condition_dropout: float = 0.1,
        self_refinement: float = 0.0,
        soft_targets: bool = False,
        feature_weight: float = 0.0,
        depth_weight: float = 0.0,
    ) -> None:
        shares = {"self_refinement": self_refinement, "condition_dropout": condition_dropout}
        for name, share in shares.items():
            if not 0 <= share <= 1:
                raise ConfigError(name, f"{share} is not within 0..1")
        if min(feature_weight, depth_weight) < 0:
            raise ConfigError("weights", f"feature {feature_weight}, depth {depth_weight}")
        if self_refinement and network.config.is_causal:
            raise ConfigError("self_refinement", "the scales of this network see each other")
        require_stages(network.config)
        self.network, self.encoder = network, encoder
        self.balanced, self.soft_targets = balanced, soft_targets
        self.condition_dropout = condition_dropout if network.config.has_null else 0.0
        self.self_refinement, self.done = self_refinement, 1.0
        self.feature_weight, self.depth_weight = feature_weight, depth_weight

    def at(self, done: float) -> None:
        """Told by the trainer before every step: share 0..1 of the training that is done."""
        self.done = done

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
        """Losses of photos in 0..1 and maps in metres."""
        config, device = self.network.config, image_B3HW.device
        square = squash(image_B3HW, depth_BHW, valid_BHW=valid_BHW, sky_BHW=sky_BHW, config=config)
        # drawn whether used or not, so that options do not shift the stream
        drawn = torch.rand(len(image_B3HW) + 2, generator=generator, device=generator.device)
        refine, in_pixels, *drops = drawn.tolist()
        keep_B = None
        if self.condition_dropout > 0 and torch.is_grad_enabled():
            keep_B = torch.tensor(drops, device=device) >= self.condition_dropout
        with torch.no_grad(), float32_island(image_B3HW):
            channels = config.tokenizer.image_channels
            f_BChw = self.network.tokenizer.features(square.depth_B1HW.expand(-1, channels, -1, -1))
        given = self.network.condition_on(square.photo_B3HW, encoder=self.encoder, keep_B=keep_B)
        is_own = refine < grown(self.self_refinement, done=self.done)
        found = (own_pass if is_own else teacher_pass)(self.network, given, f_BChw)
        return self._losses(found, f_BChw, square, in_pixels < DEPTH_SHARE)

    def _losses(self, found: Pass, f_BChw: Tensor, square: Square, in_pixels: bool) -> Losses:
        quantizer, vq = self.network.tokenizer.quantize, self.network.config.tokenizer
        weight_L = token_weights(vq.scales, balanced=self.balanced).to(f_BChw.device)
        loss = code_loss(found.logits_BLV, found.target_BL, weight_L=weight_L)
        right = (found.logits_BLV.argmax(dim=-1) == found.target_BL).float().mean()
        parts = {"cross_entropy": loss.detach(), "accuracy": right.detach()}
        if self.soft_targets:
            loss = soft_code_loss(
                found.logits_BLV, found.sought_BLC, quantizer=quantizer, weight_L=weight_L
            )
            parts["soft_cross_entropy"] = loss.detach()
        in_pixels = in_pixels and self.depth_weight > 0
        if not in_pixels and self.feature_weight == 0:
            return Losses(loss, parts)
        f_hat_BChw = expected_f_hat(found.logits_BLV, quantizer)
        if self.feature_weight > 0:
            feature = (f_hat_BChw - f_BChw).square().mean() / f_BChw.var().clamp_min(1e-6)
            loss, parts["feature"] = loss + self.feature_weight * feature, feature.detach()
        if in_pixels:
            grey_BHW = self.network.tokenizer.reconstruct(f_hat_BChw).mean(dim=1)
            depth = affine_loss(grey_BHW, square.depth_B1HW[:, 0], valid_BHW=square.known_BHW)
            loss, parts["depth"] = loss + self.depth_weight * depth, depth.detach()
        return Losses(loss, parts)


def target(parts: TrainingParts) -> TrainingTarget:
    """The first stage on a frozen tokenizer and, by preset, a frozen encoder."""
    config = parts.config
    encoder = parts.frozen_encoder() if config.photo == "encoder" else None
    network = new_network(config, generator=parts.generator())
    parts.put_tokenizer(network.tokenizer, own_scales=True)
    if network.upsampler is not None:
        network.upsampler.requires_grad_(False)  # the second stage is trained apart
    network.to(parts.device)
    options = parts.options(VarDepthObjective)

    def preview(image_B3HW: Tensor, generator: torch.Generator, steps: int) -> Tensor:
        given = network.condition_on(squash_photo(image_B3HW, config), encoder=encoder)
        generators = [generator] * len(image_B3HW)
        choose = Choose(mode="expected")  # draws nothing
        f_hat_BChw = sample_f_hat(network, given, choose=choose, generators=generators)
        return preview_depth(
            network.tokenizer.decode(f_hat_BChw),
            curve=config.curve,
            size_hw=(image_B3HW.shape[-2], image_B3HW.shape[-1]),
        )

    objective = VarDepthObjective(network, encoder, **options)
    return TrainingTarget(
        network=network,
        objective=objective,
        preview=preview,
        family="var_depth",
        preset=parts.preset,
        encoder="" if encoder is None else encoder.name,
        encoder_sha256="" if encoder is None else parts.encoder_sha256(),
        on_progress=objective.at,
    )
