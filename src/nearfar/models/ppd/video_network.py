"""The PPVD transformer (arXiv 2601.05246; docs/ppd.md section 11): PPD over a window of frames.

What differs from network.py, in call order: absolute positions by a sine table (published), blocks
across frames before some fine blocks, and reference tokens ("reference-guided token propagation"):
pooled tokens of the window's first frames, appended to every frame of the last blocks.

Shapes: B frames of all clips, one clip after the other; T frames of a clip; H W pixels; L tokens of
a frame, M reference tokens, R reference frames, D width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nearfar.errors import ConfigError
from nearfar.layers.adaln import AdaLNBlock
from nearfar.layers.patch import expand_tokens
from nearfar.layers.rope import RopeTables

from .config import PPDVideoConfig
from .network import PPDNetwork, init_weights


class PPDVideoNetwork(PPDNetwork):
    """Velocity of the noisy depth maps of whole windows; same names as the image network's.

    Construct with `new_video_network`, or under `torch.device("meta")` before `load_state_dict`.
    """

    config: PPDVideoConfig

    def __init__(self, config: PPDVideoConfig) -> None:
        super().__init__(config)
        self.temporal_blocks = nn.ModuleList(
            AdaLNBlock(
                config.width, config.heads, mlp_ratio=config.mlp_ratio, activation=config.activation
            )
            for _ in config.temporal_before
        )
        if config.positions == "table":
            h, w = config.grid_hw
            table_1LD = torch.zeros(1, h * w, config.width)
            self.pos_embed = nn.Parameter(table_1LD, requires_grad=False)  # fixed, but saved

    def forward(  # type: ignore[override]  # frames of a window, and no anchor
        self,
        latent_B1HW: Tensor,
        image_B3HW: Tensor,
        semantics_BLD: Tensor,
        *,
        timestep: int | Tensor,
        frames: int | None = None,
    ) -> Tensor:
        """Velocity [B,1,H,W] float32 of B frames: one window, or several of `frames` each.

        Inputs as in `PPDNetwork`. timestep: one for all, or one per frame, equal within a window.
        """
        h, w = self._coarse_grid(latent_B1HW, image_B3HW, semantics_BLD)
        B = len(latent_B1HW)
        T = B if frames is None else frames
        if B % T:
            raise ConfigError("PPDVideoNetwork", f"{B} frames are no windows of {T}")
        # 1. every frame as coarse tokens [B,h*w,D], B = windows * T frames
        input_B4HW = torch.cat([latent_B1HW, image_B3HW - 0.5], dim=1)
        x_BLD, time_BD = self._embed(input_B4HW, timestep)
        if self.config.positions == "table":
            x_BLD = x_BLD + self.position_table((h, w)).to(x_BLD.dtype)

        # 2. the first half: frames by themselves
        half = self.config.depth // 2
        rope = self._positions((h, w), x_BLD)
        for block in self.blocks[:half]:
            x_BLD = block(x_BLD, time_BD, rope=rope)

        # 3. semantics of the whole window are fused in; 2x2 finer tokens [B,4*h*w,D]
        x_BLD = expand_tokens(self._fuse(x_BLD, semantics_BLD), grid_hw=(h, w))

        # 4. the second half: across frames at every place, late blocks with pooled references
        grid_hw = (2 * h, 2 * w)
        rope = self._positions(grid_hw, x_BLD)
        before = {block: n for n, block in enumerate(self.config.temporal_before)}
        for index, block in enumerate(self.blocks[half:], start=half):
            if index in before:
                temporal = self.temporal_blocks[before[index]]
                x_BLD = across_frames(temporal, x_BLD, time_BD, frames=T)
            if index < self.config.reference_from:
                x_BLD = block(x_BLD, time_BD, rope=rope)
                continue
            context_BMD = self._references(x_BLD, grid_hw=grid_hw, frames=T)
            wide_BLD = torch.cat([x_BLD, context_BMD], dim=1)
            wide_rope = None if rope is None else without_position(rope, context_BMD.shape[1])
            L = x_BLD.shape[1]
            x_BLD = block(wide_BLD, time_BD, rope=wide_rope)[:, :L].contiguous()

        # 5. tokens to the pixels they cover [B,1,H,W]
        return self._pixels(x_BLD, time_BD, grid_hw=grid_hw)

    def position_table(self, grid_hw: tuple[int, int]) -> Tensor:
        """Positions [1,L,D] of a coarse grid: the stored ones at the trained size, else between.

        Other grids span the same range of positions, as if their frames were squashed.
        """
        if grid_hw == self.config.grid_hw:
            return self.pos_embed
        table_1LD = sine_table(grid_hw, width=self.config.width, trained_hw=self.config.grid_hw)
        return table_1LD.to(self.pos_embed.device)

    def _positions(self, grid_hw: tuple[int, int], x_BLD: Tensor) -> RopeTables | None:
        return self._rope(grid_hw, x_BLD) if self.config.positions == "rope" else None

    def _references(self, x_BLD: Tensor, *, grid_hw: tuple[int, int], frames: int) -> Tensor:
        """Pooled tokens of the first frames of each frame's window, [B,M,D], in their order."""
        count, pool = len(self.config.key_frames), self.config.reference_pool
        first_BRLD = x_BLD.unflatten(0, (-1, frames))[:, :count]
        map_BDhw = first_BRLD.flatten(0, 1).transpose(1, 2).unflatten(2, grid_hw)
        # odd grids end in smaller pools; ceil mode changes nothing where the pool fits
        map_BDhw = F.avg_pool2d(map_BDhw, pool, ceil_mode=True, count_include_pad=False)
        context_BRMD = map_BDhw.flatten(2).transpose(1, 2).unflatten(0, first_BRLD.shape[:2])
        context_BMD = context_BRMD.flatten(1, 2)
        return context_BMD.repeat_interleave(frames, dim=0)


def across_frames(block: nn.Module, x_BLD: Tensor, time_BD: Tensor, *, frames: int) -> Tensor:
    """The tokens after attention over the frames of each window, at every place for itself.

    No positions in time. A window has one time row, so that its modulation is computed once.
    """
    windows = []
    for number, x_TLD in enumerate(x_BLD.split(frames)):
        time_1D = time_BD if len(time_BD) == 1 else time_BD[number * frames, None]
        x_LTD = block(x_TLD.transpose(0, 1).contiguous(), time_1D, rope=None)
        windows.append(x_LTD.transpose(0, 1))
    return torch.cat(windows)


def without_position(rope: RopeTables, count: int) -> RopeTables:
    """The tables followed by `count` tokens that are not rotated."""
    cos_L1E, sin_L1E = rope
    return RopeTables(
        torch.cat([cos_L1E, cos_L1E.new_ones(count, 1, cos_L1E.shape[-1])]),
        torch.cat([sin_L1E, sin_L1E.new_zeros(count, 1, sin_L1E.shape[-1])]),
    )


def sine_table(
    grid_hw: tuple[int, int], *, width: int, trained_hw: tuple[int, int] | None = None
) -> Tensor:
    """Absolute positions [1,L,D] float32, row-major: the column's waves, then the row's.

    Each half = [sin(p w_k), cos(p w_k)], w_k = 10000^(-k / (D/4)). With `trained_hw`, positions are
    those of that grid at this grid's token centers.
    """
    quarter = width // 4
    frequency_D = 10000.0 ** (-torch.arange(quarter, dtype=torch.float64) / quarter)
    halves = []
    for count, trained in zip(grid_hw, trained_hw or grid_hw, strict=True):
        place_L = (torch.arange(count, dtype=torch.float64) + 0.5) * (trained / count) - 0.5
        angle_LD = torch.outer(place_L, frequency_D)
        halves.append(torch.cat([angle_LD.sin(), angle_LD.cos()], dim=1))
    h, w = grid_hw
    rows_hD, columns_wD = halves
    table_hwD = torch.cat(
        [columns_wD.expand(h, -1, -1), rows_hD[:, None].expand(-1, w, -1)], dim=-1
    )
    return table_hwD.flatten(0, 1)[None].float()


def new_video_network(config: PPDVideoConfig, *, generator: torch.Generator) -> PPDVideoNetwork:
    """A float32 network on the CPU with fresh weights; its output is exactly 0.

    Blocks across frames are the identity: with the weights of an image network of the same sizes it
    differs from that by the reference tokens alone.
    """
    with torch.device("meta"):  # so that no module draws from torch's global generator
        network = PPDVideoNetwork(config)
    network.to_empty(device="cpu")
    init_weights(network, generator=generator)
    if config.positions == "table":
        with torch.no_grad():
            network.pos_embed.copy_(sine_table(config.grid_hw, width=config.width))
    return network
