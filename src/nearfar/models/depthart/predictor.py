"""From a photo to DepthART's hypotheses on the tokenizer's square (docs/nextscale.md section 2).

The photo is squashed to the square and the map is of the same grid; the pipeline stretches it back
along the photo's own colors. Published weights give depth relative to its 98 % quantile
(scale_invariant); the kind follows from config.curve.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from nearfar.encoders.base import MetricEncoder, SemanticEncoder
from nearfar.errors import ConfigError
from nearfar.geometry.depth_curves import KIND_OF_CURVE, decode_depth
from nearfar.geometry.resize import photo_to_network, resize
from nearfar.models.base import Hypotheses, MetricReference
from nearfar.predict_config import PredictConfig
from nearfar.result import DepthKind

from .network import DepthARTNetwork, fold_modulation
from .sample import Choose, choice, sample_f_hat
from .square import photo_side, squash_photo

DEFAULT_STEPS = 1
NEAREST = 1e-3  # of the farthest: 0 would be infinitely wrong in a ratio
SAMPLES_AT_ONCE = 8


class DepthARTPredictor:
    """A DepthART network, ready to predict (`models.base.Predictor`).

    The transformer runs once per scale, so `steps` has no meaning; the network has one size, so
    `area` has none either. Both must be what `default_steps` and `default_area` say.
    """

    options: frozenset[str] = frozenset()

    def __init__(
        self,
        network: DepthARTNetwork,
        encoder: SemanticEncoder | None = None,
        *,
        metric_encoder: MetricEncoder | None = None,
        mode: str = "mean_k",
        choose: Choose | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """Matrices and convolutions are cast to `dtype` in place, the rest stays float32.

        encoder: for prefix = "encoder". mode: greedy, sample or mean_k; `choose` instead, for
        other numbers. metric_encoder: where metres and field of view come from, or None.
        """
        if network.config.prefix == "encoder" and encoder is None:
            raise ConfigError(
                "DepthARTPredictor", "no encoder", "This network takes an encoder's semantics"
            )
        self.network = fold_modulation(network).cast(dtype).eval()
        self.encoder = encoder
        self.metric_encoder = metric_encoder
        self.choose = choice(mode) if choose is None else choose
        self.draws = choose is not None or mode != "greedy"
        self.kind = DepthKind(KIND_OF_CURVE[network.config.curve])
        self.default_steps = DEFAULT_STEPS
        self.default_area = network.config.tokenizer.image_size**2

    @torch.inference_mode()
    def predict(
        self,
        image_3HW: Tensor,
        config: PredictConfig,
        *,
        area: int,
        generators: Sequence[torch.Generator],
    ) -> Hypotheses:
        """One hypothesis per CPU generator; greedy ones are equal, and computed once."""
        self._require(config.steps, area, generators)
        # 1. the photo squashed [1,3,H,W], through the transformer once, and on the map's square
        device = self.network.transformer.pos_1LC.device
        seen_13HW = squash_photo(image_3HW[None].to(device), self.network.config, self.encoder)
        prefill = self.network.begin(self.network.photo_vectors(seen_13HW, self.encoder))
        photo_13HW = squash_photo(seen_13HW, self.network.config)
        # 2. scale by scale to f_hat [S,C,h,w], and decoded to depth images [S,1,H,W] in -1..1
        wanted = generators if self.draws else generators[:1]
        images = []
        for first in range(0, len(wanted), SAMPLES_AT_ONCE):
            f_hat_SCHW = sample_f_hat(
                self.network,
                prefill,
                choose=self.choose,
                generators=wanted[first : first + SAMPLES_AT_ONCE],
            )
            image_SCHW = self.network.tokenizer.decode(f_hat_SCHW)
            images.append(image_SCHW.mean(dim=1, keepdim=True).cpu())
        # 3. depth in the meaning of the curve [S,H,W]
        depth_Shw = decode_depth(torch.cat(images), curve=self.network.config.curve).depth_BHW
        if self.kind is DepthKind.SCALE_INVARIANT:
            depth_Shw = depth_Shw.clamp_min(NEAREST)
        return Hypotheses(
            depth_Shw=depth_Shw.expand(len(generators), -1, -1).contiguous(),
            kind=self.kind,
            guide_hw3=photo_13HW[0].permute(1, 2, 0).contiguous().cpu(),
            reference=self._reference(image_3HW.to(device)),
        )

    def _require(self, steps: int | None, area: int, generators: Sequence[torch.Generator]) -> None:
        if steps not in (None, self.default_steps):
            raise ConfigError(
                "steps",
                f"{steps}, but this model has no sampling steps: it runs once for each of its "
                f"{len(self.network.config.tokenizer.scales)} scales",
                "Leave --steps out",
            )
        if area != self.default_area:
            side = self.network.config.tokenizer.image_size
            raise ConfigError(
                "resolution",
                f"{area} pixels, but this model has one size: {side}x{side}",
                "Leave --resolution out",
            )
        if not generators:
            raise ConfigError("predict", "no generator given", "Give one per hypothesis")

    def _reference(self, image_3HW: Tensor) -> MetricReference | None:
        """Metres and field of view of the photo in its own shape, metres at the square's cells."""
        if self.metric_encoder is None:
            return None
        multiple, side = self.metric_encoder.stride, self.network.config.tokenizer.image_size
        area = photo_side(self.network.config, self.encoder) ** 2
        photo_3HW = photo_to_network(image_3HW, area=area, multiple=multiple)
        guess = self.metric_encoder.metric(photo_3HW[None])
        return MetricReference(
            depth_HW=resize(guess.depth_BHW[0].float(), (side, side), method="nearest").cpu(),
            valid_HW=resize(guess.valid_BHW[0], (side, side), method="nearest").cpu(),
            fov_x_deg=float(guess.fov_x_deg_B[0]),
            name=self.metric_encoder.name,
        )
