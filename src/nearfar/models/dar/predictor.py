"""From a photo to DAR's metres at network size (docs/dar.md sections 1, 4, 8)."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy

import torch
from torch import Tensor

from nearfar.encoders.outputs import EncoderOutput, metric_guess
from nearfar.errors import ConfigError
from nearfar.geometry.resize import photo_to_network
from nearfar.models.base import Hypotheses, MetricReference
from nearfar.predict_config import PredictConfig
from nearfar.result import DepthKind

from .network import DARNetwork
from .photo_encoder import SmallMemory
from .sample import at_photo, sample_steps


class DARPredictor:
    """A DAR network ready to predict (`models.base.Predictor`); kind metric, nothing is drawn.

    stop_at: steps to run, of the config's K; fewer answer sooner and coarser.
    """

    kind = DepthKind.METRIC
    options = frozenset({"stop_at"})
    default_steps = 1

    def __init__(
        self,
        network: DARNetwork,
        *,
        stop_at: int | None = None,
        default_area: int | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """The network's weights are cast to `dtype` in place; a small encoder stays float32."""
        # it gains no time in bf16 and loses digits of depth, even on the way through bf16 and back
        encoder = network.encoder
        exact = (
            deepcopy(encoder.backbone.eval()).float() if isinstance(encoder, SmallMemory) else None
        )
        self.network = network.to(dtype=dtype).eval()
        if exact is not None:
            encoder.backbone = exact
        self.default_area = default_area or network.config.area
        self.stop_at = self._checked(stop_at)

    @torch.inference_mode()
    def predict(
        self,
        image_3HW: Tensor,
        config: PredictConfig,
        *,
        area: int,
        generators: Sequence[torch.Generator],
    ) -> Hypotheses:
        """Metres at network size; every second hypothesis is that of the mirrored photo.

        The spread of the bins comes along. config.stop_at: instead of the predictor's own.
        """
        if not generators:
            raise ConfigError("predict", "no generator given", "Give one per hypothesis")
        if config.steps not in (None, self.default_steps):
            raise ConfigError(
                "steps",
                f"{config.steps}, but DAR runs its K steps once",
                "Use stop_at for fewer of them",
            )
        # 1. the photo at network size, and its mirror image if there are two to give [B,3,H,W]
        last = self.stop_at if config.stop_at is None else self._checked(config.stop_at)
        parameter = self.network.query_tokens
        image_3HW = photo_to_network(image_3HW, area=area, multiple=self.network.config.multiple)
        image_B3HW = image_3HW.to(parameter.device)[None]
        if len(generators) > 1:
            image_B3HW = torch.cat([image_B3HW, image_B3HW.flip(-1)])
        # 2. encoded once; then ever finer tokens and narrower bins, the last step's answer
        size_hw = (image_3HW.shape[-2], image_3HW.shape[-1])
        encoded = self.network.encode(image_B3HW)
        sizes_hw = self.network.sizes(self.network.padded_size(size_hw))
        step = sample_steps(self.network, encoded, sizes_hw, stop_at=last)[-1]
        # 3. at the photo's size, the mirrored one turned back [B,H,W] in metres
        depth_Bhw = self._at_photo(step.depth_B1hw, size_hw)
        spread_Bhw = self._at_photo(step.spread_B1hw, size_hw)
        # 4. nothing is drawn, so further hypotheses repeat the two
        order = [i % len(depth_Bhw) for i in range(len(generators))]
        return Hypotheses(
            depth_Shw=depth_Bhw[order],
            kind=self.kind,
            guide_hw3=image_3HW.permute(1, 2, 0).contiguous().cpu(),
            reference=self._reference(encoded.small, size_hw),
            spread_Shw=spread_Bhw[order],
        )

    def _at_photo(self, map_B1hw: Tensor, size_hw: tuple[int, int]) -> Tensor:
        """Maps [B,h,w] at the network's photo, float32 on the CPU, the mirrored one turned back."""
        full_BHW = at_photo(self.network, map_B1hw, size_hw)
        turned_BHW = torch.cat([full_BHW[:1], full_BHW[1:].flip(-1)])
        return turned_BHW.cpu()

    def _reference(
        self, out: EncoderOutput | None, size_hw: tuple[int, int]
    ) -> MetricReference | None:
        """A small encoder's sky and field of view (and its own metres); other encoders: None."""
        if out is None or not isinstance(self.network.encoder, SmallMemory):
            return None
        guess = metric_guess(out, size_hw=size_hw)
        return MetricReference(
            depth_HW=guess.depth_BHW[0].float().cpu(),
            valid_HW=guess.valid_BHW[0].cpu(),
            fov_x_deg=float(guess.fov_x_deg_B[0]),
            name=self.network.encoder.backbone.name,
        )

    def _checked(self, stop_at: int | None) -> int:
        """The number of steps to run; ConfigError outside 1..K."""
        total = len(self.network.config.fractions)
        if stop_at is None:
            return total
        if not 1 <= stop_at <= total:
            raise ConfigError("stop_at", f"{stop_at} is not within 1..{total}")
        return stop_at
