"""What both objectives share: photo and depth map through the frozen tokenizer, cross-entropy.

Shapes: B batch, L tokens, M photo tokens, V codes, C code width, K blocks.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from nearfar.encoders.base import SemanticEncoder
from nearfar.errors import ConfigError
from nearfar.models.base import Losses
from nearfar.tokenizers.quantizer import float32_island

from .network import DepthARTNetwork
from .square import squash


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
        square = squash(
            image_B3HW, depth_BHW, valid_BHW=valid_BHW, sky_BHW=sky_BHW, config=self.network.config
        )
        with torch.no_grad(), float32_island(image_B3HW):
            photo_BMC = self.network.photo_vectors(square.photo_B3HW, self.encoder)
            f_BCHW = self.network.tokenizer.features(square.depth_BCHW)
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
