"""The photo encoder of `dar-tiny`: our tiny encoder's tokens and its log depth in metres.

Memory: one token per 8x8 working pixels, with the log depth under it (ln(metres), so that scale
reaches the transformer). Context: dense 3x3 convolutions over the photo at half size, beside the
log depth and the sky.
"""

from __future__ import annotations

from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nearfar.encoders.outputs import DEPTH_CELLS
from nearfar.encoders.tiny import TinyEncoder

from .config import GROUPS, DARConfig
from .vit_encoder import Encoded

_EXTRA = 2  # log depth and sky, into the context


class TinyMemory(nn.Module):
    """Memory and context of a photo by `TinyEncoder`, frozen or trained with the rest."""

    def __init__(self, config: DARConfig) -> None:
        super().__init__()
        assert config.tiny is not None
        width = config.context_width
        self.backbone = TinyEncoder(config.tiny)
        self.is_frozen = False
        self.memory = nn.Linear(self.backbone.width, config.memory_width)
        self.stem = nn.Conv2d(3, width, 3, stride=2, padding=1)
        self.stem_norm = nn.GroupNorm(GROUPS, width)
        self.merge = nn.Conv2d(width + _EXTRA, width, 3, padding=1)

    def freeze(self) -> None:
        """Keep the backbone as it is: no gradients, and batch statistics as they were."""
        self.is_frozen = True
        self.backbone.requires_grad_(False)
        self.backbone.eval()

    def train(self, mode: bool = True) -> TinyMemory:
        """Training mode; a frozen backbone stays in eval mode."""
        super().train(mode)
        if self.is_frozen:
            self.backbone.eval()
        return self

    def forward(self, image_B3HW: Tensor) -> Encoded:
        """Memory and context of RGB in 0..1, and the backbone's own metres, sky and view."""
        dtype = self.memory.weight.dtype  # the backbone may be float32 beside bfloat16 weights
        with torch.no_grad() if self.is_frozen else nullcontext():
            out = self.backbone(image_B3HW)
        cells_BLD = F.pixel_unshuffle(out.coarse_B1HW, DEPTH_CELLS).flatten(2).transpose(1, 2)
        both_BLD = torch.cat([out.tokens_BLD.to(dtype), cells_BLD.to(dtype)], dim=-1)
        x_BChw = F.relu(self.stem_norm(self.stem((2 * image_B3HW - 1).to(dtype))))
        extra_B2HW = torch.stack([out.log_depth_BHW, out.sky_logit_BHW.tanh()], dim=1)
        extra_B2hw = F.interpolate(extra_B2HW, size=x_BChw.shape[-2:], mode="bilinear")
        context_BChw = torch.cat([x_BChw, extra_B2hw.to(x_BChw.dtype)], dim=1)
        return Encoded(self.memory(both_BLD), F.relu(self.merge(context_BChw)), out)
