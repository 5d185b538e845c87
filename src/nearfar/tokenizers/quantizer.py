"""Multi-scale residual quantization (arXiv 2404.02905; docs/nextscale.md section 1), in float32.

f_hat_0 = 0; for k = 1..K: the residual f - f_hat_(k-1) is averaged to p_k x p_k, every cell takes
its nearest code, and f_hat_k = f_hat_(k-1) + eta_k(codes) with eta_k(h) = phi(bicubic(h)),
phi(x) = (1 - r) x + r conv3x3(x). Shapes: B batch, C code width, H W feature grid, h w a token map,
L tokens, V codes, P vectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nearfar.errors import ConfigError

from .config import VQConfig, require_scales
from .phi import phi_of_scales

COMMITMENT = 0.25  # beta: weight of the term that moves the encoder
_SCORES_AT_ONCE = 1 << 24  # entries of the vectors x codes matrix


class QuantizedScales(NamedTuple):
    """indices: of each scale [B,p*p] int64, row-major. partial_sums: f_hat after it [B,C,H,W]."""

    indices: list[Tensor]
    partial_sums: list[Tensor]


class TrainingPass(NamedTuple):
    """f_hat with the gradient of f (straight-through), the two losses, and what codes were for.

    indices_P, residuals_PC: chosen code and the vector it stands for, all scales, detached.
    """

    f_hat_BCHW: Tensor
    commitment: Tensor
    codebook: Tensor
    indices_P: Tensor
    residuals_PC: Tensor

    @property
    def loss(self) -> Tensor:
        """Mean over scales of beta * mse(sg(f_hat_k), f) + mse(f_hat_k, sg(f))."""
        return COMMITMENT * self.commitment + self.codebook


class MultiScaleQuantizer(nn.Module):
    """Codebook, correction convolutions and the loop over scales.

    `scale` counts from 0. `scales`, where it can be given, replaces the config's token maps: it
    ends at the same grid, and which convolution serves a scale follows from its own length.
    """

    hits_V: Tensor

    def __init__(self, config: VQConfig) -> None:
        super().__init__()
        self.config = config
        width = config.code_width
        self.embedding = nn.Embedding(config.codebook, width)
        count = config.phi_count or len(config.scales)
        self.phi = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(count))
        # choices per code since the last look for dead ones (revival.py); saved, so that a resumed
        # training goes on as it would have
        self.register_buffer("hits_V", torch.zeros(config.codebook, dtype=torch.int64))

    @torch.no_grad()
    def encode(self, f_BCHW: Tensor, *, scales: Sequence[int] | None = None) -> QuantizedScales:
        """Tokens of all scales and the partial sums f_hat_1..f_hat_K, float32."""
        sides = self._sides(f_BCHW, scales)
        f_BCHW = f_BCHW.float()
        f_hat_BCHW = torch.zeros_like(f_BCHW)
        indices, partial_sums = [], []
        for scale in range(len(sides)):
            index_BL = self.nearest_at(f_BCHW - f_hat_BCHW, scale=scale, scales=sides)
            codes_BChw = as_map(self.embed(index_BL))
            f_hat_BCHW = self.accumulate(f_hat_BCHW, codes_BChw, scale=scale, scales=sides)
            indices.append(index_BL)
            partial_sums.append(f_hat_BCHW)
        return QuantizedScales(indices, partial_sums)

    def nearest(self, z: Tensor) -> Tensor:
        """Index of the nearest code for vectors [...,C]: int64 [...], the first of equals.

        By squared distance; with znorm the code with the largest cosine.
        """
        with torch.no_grad(), float32_island(z):
            z_PC, codes_VC = z.reshape(-1, z.shape[-1]).float(), self.embedding.weight.float()
            if self.config.znorm:
                z_PC, codes_VC = F.normalize(z_PC, dim=-1), F.normalize(codes_VC, dim=-1)
                bias_V = codes_VC.new_zeros(len(codes_VC))
            else:
                bias_V = codes_VC.square().sum(dim=1)
            rows = max(1, _SCORES_AT_ONCE // len(codes_VC))
            # |z|^2 is the same for every code and left out; -2 z.e orders cosines too
            found = [
                torch.addmm(bias_V, part_PC, codes_VC.T, alpha=-2).argmin(dim=1)
                for part_PC in z_PC.split(rows)
            ]
        return torch.cat(found).view(z.shape[:-1])

    def nearest_at(
        self, residual_BCHW: Tensor, *, scale: int, scales: Sequence[int] | None = None
    ) -> Tensor:
        """Q_k: tokens [B,p*p] of a scale for a residual on the feature grid."""
        return self.nearest(self._vectors_at(residual_BCHW, self._side(scale, scales)))

    def embed(self, indices: Tensor) -> Tensor:
        """Code vectors [...,C] of tokens [...], float32."""
        return F.embedding(indices, self.embedding.weight.float())

    def accumulate(
        self,
        f_hat_BCHW: Tensor,
        codes_BChw: Tensor,
        *,
        scale: int,
        scales: Sequence[int] | None = None,
    ) -> Tensor:
        """f_hat + eta_k(codes): the sum after `scale`, whose code vectors are given as a map.

        Any vectors will do (a mean of several codes), they need not be in the codebook.
        """
        count = len(self.config.scales if scales is None else scales)
        index = phi_of_scales(count, self.config.phi_count if scales is None else len(self.phi))
        share = abs(self.config.residual)
        with float32_island(f_hat_BCHW):
            x_BCHW = codes_BChw.float()
            if scale < count - 1:
                size = f_hat_BCHW.shape[-2:]
                x_BCHW = F.interpolate(x_BCHW, size=size, mode="bicubic", align_corners=False)
            phi = self.phi[index[scale]]
            assert isinstance(phi, nn.Conv2d) and phi.bias is not None
            corrected_BCHW = F.conv2d(x_BCHW, phi.weight.float(), phi.bias.float(), padding=1)
            return f_hat_BCHW.float() + torch.lerp(x_BCHW, corrected_BCHW, share)

    def inputs_of_next_scale(
        self, f_hat_BCHW: Tensor, *, scale: int, scales: Sequence[int] | None = None
    ) -> Tensor:
        """f_hat after `scale`, averaged to the token map of scale + 1; after the last, itself."""
        sides = self.config.scales if scales is None else scales
        return _area(f_hat_BCHW.float(), sides[min(scale + 1, len(sides) - 1)])

    def teacher_inputs(
        self, partial_sums: Sequence[Tensor], *, scales: Sequence[int] | None = None
    ) -> Tensor:
        """The inputs of scales 2..K, given all partial sums: [B, L - p_1^2, C], float32."""
        maps = [
            self.inputs_of_next_scale(f_hat_BCHW, scale=scale, scales=scales)
            for scale, f_hat_BCHW in enumerate(partial_sums[:-1])
        ]
        if not maps:  # a single scale
            return partial_sums[0].new_zeros((len(partial_sums[0]), 0, self.config.code_width))
        return torch.cat([map_BChw.flatten(2).transpose(1, 2) for map_BChw in maps], dim=1)

    def partial_sums(
        self, indices: Sequence[Tensor], *, scales: Sequence[int] | None = None
    ) -> list[Tensor]:
        """f_hat_1..f_hat_K [B,C,H,W] of tokens [B,p*p] of each scale."""
        sides = tuple(self.config.scales if scales is None else scales)
        self._require_tokens(indices, sides)
        grid, width = self.config.grid, self.config.code_width
        f_hat_BCHW = self.embedding.weight.new_zeros(
            (len(indices[0]), width, grid, grid), dtype=torch.float32
        )
        sums = []
        for scale, index_BL in enumerate(indices):
            codes_BChw = as_map(self.embed(index_BL))
            f_hat_BCHW = self.accumulate(
                f_hat_BCHW, codes_BChw, scale=scale, scales=None if scales is None else sides
            )
            sums.append(f_hat_BCHW)
        return sums

    def forward(self, f_BCHW: Tensor) -> TrainingPass:
        """One training pass over the scales (its loss: docs/nextscale.md section 1)."""
        sides = self._sides(f_BCHW, None)
        with float32_island(f_BCHW):
            f_BCHW = f_BCHW.float()
            target_BCHW = f_BCHW.detach()
            f_hat_BCHW = torch.zeros_like(target_BCHW)
            commitment = codebook = f_BCHW.new_zeros(())
            indices, residuals = [], []
            for scale, side in enumerate(sides):
                z_BLC = self._vectors_at(target_BCHW - f_hat_BCHW.detach(), side)
                index_BL = self.nearest(z_BLC)
                codes_BChw = as_map(self.embed(index_BL))
                f_hat_BCHW = self.accumulate(f_hat_BCHW, codes_BChw, scale=scale)
                commitment = commitment + F.mse_loss(f_BCHW, f_hat_BCHW.detach()) / len(sides)
                codebook = codebook + F.mse_loss(f_hat_BCHW, target_BCHW) / len(sides)
                indices.append(index_BL.flatten())
                residuals.append(z_BLC.flatten(0, 1))
            through_BCHW = f_BCHW + (f_hat_BCHW.detach() - target_BCHW)
        return TrainingPass(
            through_BCHW, commitment, codebook, torch.cat(indices), torch.cat(residuals)
        )

    def _vectors_at(self, residual_BCHW: Tensor, side: int) -> Tensor:
        """Residual vectors [B,p*p,C] at a scale: area average, the residual itself at the last."""
        return _area(residual_BCHW.float(), side).flatten(2).transpose(1, 2)

    def _side(self, scale: int, scales: Sequence[int] | None) -> int:
        return (self.config.scales if scales is None else scales)[scale]

    def _sides(self, f_BCHW: Tensor, scales: Sequence[int] | None) -> tuple[int, ...]:
        """The scales in use; ConfigError unless they end at the features' (square) grid."""
        H, W = f_BCHW.shape[-2:]
        if H != W:
            raise ConfigError(
                "quantizer", f"features of {H}x{W} cells", "Scales are square: squash the image"
            )
        sides = tuple(self.config.scales if scales is None else scales)
        require_scales(sides, last=H)
        return sides

    def _require_tokens(self, indices: Sequence[Tensor], sides: tuple[int, ...]) -> None:
        """ConfigError unless there are p*p tokens of every scale, all within the codebook."""
        require_scales(sides, last=self.config.grid)
        counts = [index_BL.shape[-1] for index_BL in indices]
        if counts != [side * side for side in sides]:
            raise ConfigError("tokens", f"{counts} a scale, but the scales are {sides} a side")
        low = min(int(index_BL.min()) for index_BL in indices)
        high = max(int(index_BL.max()) for index_BL in indices)
        if low < 0 or high >= self.config.codebook:
            raise ConfigError(
                "tokens",
                f"indices {low}..{high}, the codebook has 0..{self.config.codebook - 1}",
                "These tokens belong to another tokenizer",
            )


def as_map(vectors_BLC: Tensor) -> Tensor:
    """Vectors of a square token map, row-major, as [B,C,p,p]."""
    side = round(vectors_BLC.shape[1] ** 0.5)
    return vectors_BLC.transpose(1, 2).unflatten(2, (side, side))


def float32_island(x: Tensor) -> torch.autocast:
    """No autocast inside: a nearest code or a sum of ten maps does not survive bfloat16."""
    return torch.autocast(x.device.type, enabled=False)


def _area(x_BCHW: Tensor, side: int) -> Tensor:
    """Average over the cells of a side x side grid; the tensor itself at its own size."""
    if x_BCHW.shape[-2:] == (side, side):
        return x_BCHW
    return F.interpolate(x_BCHW, size=(side, side), mode="area")
