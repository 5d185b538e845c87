"""From a photo to VAR-Depth's hypotheses (docs/nextscale.md section 3).

The photo is squashed to the tokenizer's square and the map is of the same grid, or, with a second
stage, of the size that works at; the pipeline brings it back to the photo's. What a value means
follows from config.curve.
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

from .config import require_request, require_stages
from .network import Conditioned, VarDepthNetwork
from .sample import Choose, Guidance, sample_f_hat
from .square import photo_side, squash_photo

NEAREST = 1e-3  # of the farthest: 0 would be infinitely wrong in a ratio
SAMPLES_AT_ONCE = 8


class VarDepthPredictor:
    """A VAR-Depth network, ready to predict (`models.base.Predictor`).

    It runs once for each of its ten scales, so `steps` has no meaning, and has one size, so `area`
    has none: both must be what `default_steps` and `default_area` say. `guidance_scale` is used
    where the config names none.
    """

    options = frozenset({"guidance_scale"})

    def __init__(
        self,
        network: VarDepthNetwork,
        encoder: SemanticEncoder | None = None,
        *,
        metric_encoder: MetricEncoder | None = None,
        choose: Choose | None = None,
        guidance_scale: float = 0.0,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """Matrices and convolutions are cast to `dtype` in place, the rest stays float32.

        encoder: for photo = "encoder". choose: default is `sample`. metric_encoder: where metres
        and field of view come from, or None.
        """
        require_stages(network.config)
        if network.config.photo == "encoder" and encoder is None:
            raise ConfigError(
                "VarDepthPredictor", "no encoder", "This network takes an encoder's semantics"
            )
        self.network = network.cast(dtype).eval()
        self.encoder, self.metric_encoder = encoder, metric_encoder
        self.choose = Choose() if choose is None else choose
        self.kind = DepthKind(KIND_OF_CURVE[network.config.curve])
        self.default_steps = 1
        self.default_area = network.config.tokenizer.image_size**2
        self.guidance_scale = guidance_scale
        self._guidance(guidance_scale)

    @torch.inference_mode()
    def predict(
        self,
        image_3HW: Tensor,
        config: PredictConfig,
        *,
        area: int,
        generators: Sequence[torch.Generator],
    ) -> Hypotheses:
        """One hypothesis per CPU generator; where nothing is drawn they are computed once."""
        # 1. guidance: none, the predictor's own, or that asked for
        asked = config.guidance_scale
        guidance = self._guidance(self.guidance_scale if asked is None else asked)
        steps = config.steps or self.default_steps
        require_request(self.network.config, steps=steps, area=area, samples=len(generators))
        # 2. the photo squashed [1,3,H,W] as condition, and no photo beside it
        image_3HW = image_3HW.to(self.network.device)
        seen_13HW = squash_photo(image_3HW[None], self.network.config, self.encoder)
        given = self.network.condition_on(seen_13HW, encoder=self.encoder)
        without = self.network.unconditional() if guidance.scale > 0 else None
        # 3. scale by scale to depth images [S,1,h,w] in -1..1, made finer by the second stage
        wanted = generators if self.choose.draws else generators[:1]
        guide_13HW = self._guide(image_3HW, seen_13HW)
        images = [
            self._images(given, without, guidance, guide_13HW, wanted[i : i + SAMPLES_AT_ONCE])
            for i in range(0, len(wanted), SAMPLES_AT_ONCE)
        ]
        # 4. depth in the meaning of the curve [S,h,w]
        depth_Shw = decode_depth(torch.cat(images), curve=self.network.config.curve).depth_BHW
        if self.kind is DepthKind.SCALE_INVARIANT:
            depth_Shw = depth_Shw.clamp_min(NEAREST)
        return Hypotheses(
            depth_Shw=depth_Shw.expand(len(generators), -1, -1).contiguous(),
            kind=self.kind,
            guide_hw3=guide_13HW[0].permute(1, 2, 0).contiguous().cpu(),
            reference=self._reference(image_3HW, guide_13HW),
        )

    def _images(
        self,
        given: Conditioned,
        without: Conditioned | None,
        guidance: Guidance,
        guide_13HW: Tensor,
        generators: Sequence[torch.Generator],
    ) -> Tensor:
        """Depth images [S,1,h,w] in -1..1 on the CPU."""
        f_hat_SChw = sample_f_hat(
            self.network,
            given,
            choose=self.choose,
            generators=generators,
            guidance=guidance,
            without=without,
        )
        image_S1HW = self.network.tokenizer.decode(f_hat_SChw).mean(dim=1, keepdim=True)
        if self.network.upsampler is not None:
            image_S1HW = self.network.upsampler.refine(guide_13HW, image_S1HW)
        return image_S1HW.cpu()

    def _guide(self, image_3HW: Tensor, seen_13HW: Tensor) -> Tensor:
        """The photo [1,3,h,w] at the size the map comes out at."""
        if self.network.upsampler is None:
            return squash_photo(seen_13HW, self.network.config)
        size_hw = self.network.upsampler.size_for((image_3HW.shape[-2], image_3HW.shape[-1]))
        return resize(image_3HW[None], size_hw, method="area").clamp(0, 1)

    def _guidance(self, scale: float) -> Guidance:
        """The schedule of a scale; ConfigError where the network cannot be guided."""
        if scale != 0 and not self.network.config.has_null:
            self.network.unconditional()  # raises, saying why
        return Guidance(scale=scale)

    def _reference(self, image_3HW: Tensor, guide_13HW: Tensor) -> MetricReference | None:
        """Metres and field of view of the photo in its own shape, metres at the map's cells."""
        if self.metric_encoder is None:
            return None
        multiple, size_hw = self.metric_encoder.stride, (guide_13HW.shape[-2], guide_13HW.shape[-1])
        area = photo_side(self.network.config, self.encoder) ** 2
        photo_3HW = photo_to_network(image_3HW, area=area, multiple=multiple)
        guess = self.metric_encoder.metric(photo_3HW[None])
        return MetricReference(
            depth_HW=resize(guess.depth_BHW[0].float(), size_hw, method="nearest").cpu(),
            valid_HW=resize(guess.valid_BHW[0], size_hw, method="nearest").cpu(),
            fov_x_deg=float(guess.fov_x_deg_B[0]),
            name=self.metric_encoder.name,
        )
