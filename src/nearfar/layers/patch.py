"""Pixels to tokens and back, and PPD's 2x2 token expansion (docs/ppd.md sections 1.1, 1.7).

All three return contiguous memory: a transposed token stream would make every LayerNorm and
residual of the network strided (see benchmarks/ppd_forward.py).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class PatchEmbed(nn.Module):
    """A linear map of every patch, as a strided convolution.

    In float32 where CPUs would do it in bfloat16: torch 2.13 returns wrong numbers for a kernel and
    stride of 16 on those with AMX.
    """

    def __init__(self, channels: int, width: int, *, patch_size: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(channels, width, kernel_size=patch_size, stride=patch_size)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Row-major tokens [B,L,D], contiguous."""
        is_cast = x_BCHW.device.type == "cpu" and torch.is_autocast_enabled("cpu")
        dtype = torch.get_autocast_dtype("cpu") if is_cast else self.proj.weight.dtype
        if x_BCHW.device.type == "cpu" and dtype == torch.bfloat16:
            map_BDhw = self._in_float32(x_BCHW).to(dtype)
        else:
            map_BDhw = self.proj(x_BCHW)
        return map_BDhw.flatten(2).transpose(1, 2).contiguous()

    def _in_float32(self, x_BCHW: Tensor) -> Tensor:
        weight, bias = (parameter.float() for parameter in self.proj.parameters())
        with torch.autocast("cpu", enabled=False):
            return F.conv2d(x_BCHW.float(), weight, bias, stride=self.proj.stride)


def expand_tokens(x_BLD: Tensor, *, grid_hw: tuple[int, int]) -> Tensor:
    """[B,hw,4D] -> [B,4hw,D]: token (r,q) becomes fine tokens (2r+dy, 2q+dx).

    The channel index of the input is (dy*2 + dx)*D + c, c fastest (not the pixel-shuffle order).
    """
    h, w = grid_hw
    x_Bhw22D = x_BLD.unflatten(-1, (2, 2, -1)).unflatten(1, (h, w))
    return x_Bhw22D.permute(0, 1, 3, 2, 4, 5).flatten(1, 4).contiguous()


def unpatchify(x_BLD: Tensor, *, grid_hw: tuple[int, int], patch_size: int) -> Tensor:
    """[B,hw,p*p] -> one channel [B,1,h*p,w*p]; the p*p values are (py,px), px fastest."""
    h, w = grid_hw
    x_Bhw1D = x_BLD.unflatten(-1, (patch_size, patch_size)).unflatten(1, (h, w))
    return x_Bhw1D.permute(0, 1, 3, 2, 4).reshape(-1, 1, h * patch_size, w * patch_size)
