"""What every depth family offers: `Predictor` for inference, `Objective` for training.

A predictor works at network size on one photo and returns hypotheses; alignment between them,
metres, the way back to the photo's size and the output contract are the pipeline's work, once for
all families.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from sonde.result import DepthKind


class MetricReference(NamedTuple):
    """An encoder's own metric guess at network size: the source of metres and field of view.

    depth_HW: metres. valid_HW: where it may be used (no sky). fov_x_deg: horizontal, degrees.
    """

    depth_HW: Tensor
    valid_HW: Tensor
    fov_x_deg: float
    name: str


class Hypotheses(NamedTuple):
    """S depth maps of one photo at network size [h,w], float32 on the CPU.

    depth_Shw: larger = farther, in the meaning of `kind`. guide_hw3: the photo at that size, 0..1.
    spread_Shw: the family's own standard deviation of each map in the same unit, where it has one.
    """

    depth_Shw: Tensor
    kind: DepthKind
    guide_hw3: Tensor
    reference: MetricReference | None
    spread_Shw: Tensor | None = None


class Predictor(Protocol):
    """One family with its weights, ready to predict."""

    default_steps: int
    default_area: int  # network pixels (height * width) when no resolution is asked for

    def predict(
        self,
        image_3HW: Tensor,
        *,
        steps: int,
        area: int,
        generators: Sequence[torch.Generator],
    ) -> Hypotheses:
        """One hypothesis per CPU generator for a photo (float 0..1 RGB, any size)."""
        ...


class Losses(NamedTuple):
    """The scalar to minimise and named scalars for the log."""

    total: Tensor
    parts: dict[str, Tensor]


class Objective(Protocol):
    """Targets and loss of one family; owns no parameters of its own that are trained elsewhere."""

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
        """Losses of a batch (metres, 0 = unknown; sky apart); `generator` draws time and noise."""
        ...
