"""The steps of DAR (arXiv 2411.11361; docs/dar.md section 3b), the same in training and inference.

Finer tokens from the step before, then narrower bins around the depth found; nothing is drawn.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from .bins import Bins, Shares
from .network import DARNetwork
from .photo_encoder import Encoded


class Step(NamedTuple):
    """depth_B1hw, spread_B1hw: metres, on the bin grid; bins: in force; shares: on them."""

    depth_B1hw: Tensor
    spread_B1hw: Tensor
    bins: Bins
    shares: Shares | None


def sample_steps(
    network: DARNetwork, encoded: Encoded, sizes_hw: list[tuple[int, int]], *, stop_at: int
) -> list[Step]:
    """Depth after each of the first `stop_at` steps; sizes_hw: token maps of all steps."""
    # 1. bins over the whole range, or around what the encoder guesses; learned query tokens
    run = network.begin(encoded.memory_BMD, sizes_hw[:stop_at])
    bins = network.first_bins(network.bin_grid(sizes_hw, 0), encoded.memory_BMD)
    map_BChw = network.queries(sizes_hw[0], len(encoded.memory_BMD))
    contexts: dict[tuple[int, int], Tensor] = {}
    steps: list[Step] = []
    found = first = None
    for k in range(stop_at):
        # 2. the step's tokens [B,L,D], which attend to those of earlier steps and to the photo
        tokens_BLD = run.step(network.input_tokens(map_BChw, step=k))
        tokens_BChw = tokens_BLD.mT.unflatten(2, sizes_hw[k])
        # 3. on the grid of bins: candidates are told to the tokens, probabilities come back
        grid_hw = network.bin_grid(sizes_hw, k)
        if grid_hw not in contexts:
            contexts[grid_hw] = at_size(encoded.context_BChw, grid_hw)
        bins, start = bins.resized(grid_hw), network.prior(encoded, found, grid_hw)
        told = network.inject(tokens_BChw, contexts[grid_hw], bins, prior_B1hw=start)
        found, first = told.found, first or told.shares
        steps.append(Step(*network.in_metres(found, first), bins, told.shares))
        # 4. finer tokens start from these, narrower bins lie around the depth found
        if k + 1 < stop_at:
            map_BChw = network.next_input(tokens_BChw, told.hidden_BChw, sizes_hw[k + 1])
            bins = bins.after(found)
    return steps


def at_photo(network: DARNetwork, map_B1hw: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """A step's map [B,H,W] float32 at the photo's size: over the padded photo, then cut."""
    padded_hw = network.padded_size(size_hw)
    return at_size(map_B1hw.float(), padded_hw)[:, 0, : size_hw[0], : size_hw[1]]


def at_size(map_BChw: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """The map at another size, bilinear."""
    return nn.functional.interpolate(map_BChw, size=size_hw, mode="bilinear", align_corners=False)
