"""From a photo to PPD's hypotheses at network size (docs/ppd.md sections 2, 3).

Output + 0.5 is affine log depth: ln(metres + 1) = s * depth + t, larger = farther.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from nearfar.encoders.base import JointEncoder, MetricEncoder, MetricGuess, SemanticEncoder
from nearfar.errors import ConfigError
from nearfar.geometry.resize import photo_to_network
from nearfar.models.base import Hypotheses, MetricReference
from nearfar.predict_config import EnsembleStart, PredictConfig
from nearfar.result import DepthKind
from nearfar.sampling.flow_matching import add_noise
from nearfar.sampling.timesteps import ppd_timesteps

from .anchor import Anchor, anchor_of
from .network import CleanMap, PPDNetwork
from .sample import sample_clean_map, sample_depth, sample_from_clean

DEFAULT_STEPS = 4
DEFAULT_AREA = 1024 * 768  # what the published network was trained at
PHOTO_AREA = 192 * 256  # and ours on the photo encoder

# Hypotheses run side by side while they have fewer pixels than this: beyond it a batch is no faster
# and takes memory; on a CPU it leaves the cache (eight maps of 120x160: 1.3 times as long).
PIXELS_AT_ONCE = 1024 * 768
CPU_PIXELS_AT_ONCE = 2 * 120 * 160


class PPDPredictor:
    """A PPD network with its encoder, ready to predict (`models.base.Predictor`)."""

    kind = DepthKind.AFFINE_LOG_DEPTH
    options = frozenset({"ensemble_start"})

    def __init__(
        self,
        network: PPDNetwork,
        encoder: SemanticEncoder,
        *,
        metric_encoder: MetricEncoder | None = None,
        default_steps: int = DEFAULT_STEPS,
        default_area: int = DEFAULT_AREA,
        default_start: EnsembleStart = "noise",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """The network's weights are cast to `dtype` in place; the encoder is used as it is.

        metric_encoder: where metres and field of view come from (often the encoder), or None.
        default_start: where hypotheses after the first start when nothing is asked for.
        """
        wanted = (network.config.semantics_width, network.config.coarse_patch)
        if (encoder.width, encoder.stride) != wanted:
            raise ConfigError(
                "PPDPredictor",
                f"encoder {encoder.name} gives {encoder.width} channels and {encoder.stride} "
                f"pixels a token, the network takes {wanted[0]} and {wanted[1]}",
                "Pair the network with the encoder it was trained with",
            )
        self.network = network.to(dtype=dtype).eval()
        self.encoder = encoder
        self.metric_encoder = metric_encoder
        self._joint: JointEncoder | None = None
        if metric_encoder is encoder and isinstance(encoder, JointEncoder):
            self._joint = encoder
        self.default_steps = default_steps
        self.default_area = default_area
        self.default_start: EnsembleStart = default_start
        if network.config.prediction == "clean" and self._joint is None:
            raise ConfigError(
                "PPDPredictor",
                f"encoder {encoder.name} gives no metres beside its semantics",
                "A network that corrects its encoder's map needs that map: the photo encoder",
            )

    @torch.inference_mode()
    def predict(
        self,
        image_3HW: Tensor,
        config: PredictConfig,
        *,
        area: int,
        generators: Sequence[torch.Generator],
    ) -> Hypotheses:
        """One hypothesis per CPU generator, as affine log depth at network size.

        The noise of a hypothesis depends on its own generator only, never on its neighbors.
        config.ensemble_start: noise, or first: all after the first start from it
        (`sample_from_clean`).
        """
        if not generators:
            raise ConfigError("predict", "no generator given", "Give one per hypothesis")
        # 1. the photo at network size [1,3,H,W], both sides multiples of a coarse token
        steps = config.steps or self.default_steps
        network, timesteps = self.network, ppd_timesteps(steps)
        device = network.x_embedder.proj.weight.device
        image_3HW = photo_to_network(image_3HW, area=area, multiple=network.config.size_multiple)
        image_13HW = image_3HW.to(device)[None]
        # 2. what the encoder says of it, once for all hypotheses: a vector per coarse token [1,L,D]
        semantics_1LD, guess = self._look(image_13HW)
        anchor = None
        if network.detail is not None and guess is not None:
            anchor = anchor_of(guess, image_13HW)
        H, W = image_13HW.shape[-2:]
        is_shared = (config.ensemble_start or self.default_start) == "first"
        pixels = CPU_PIXELS_AT_ONCE if device.type == "cpu" else PIXELS_AT_ONCE
        # 3. from noise to depth in a few Euler steps, hypotheses side by side [B,1,H,W]
        depths_BHW: list[Tensor] = []
        spreads_BHW: list[Tensor] = []
        first_11HW: Tensor | None = None
        for group in _groups(generators, at_once=max(1, pixels // (H * W)), is_shared=is_shared):
            noise_B1HW = draw_noise(group, size_hw=(H, W)).to(device)
            image_B3HW = image_13HW.expand(len(group), -1, -1, -1)
            given = (image_B3HW, semantics_1LD.expand(len(group), -1, -1))
            if anchor is not None:
                found = _corrected(network, given, anchor, noise_B1HW, timesteps, first_11HW)
                if is_shared and first_11HW is None:
                    first_11HW = found.clean_B1HW
                depths_BHW.append(anchor.log_depth(found.clean_B1HW)[:, 0].cpu())
                spreads_BHW.append(_deviation(found, anchor)[:, 0].cpu())
                continue
            # the first hypothesis, noised again, saves the others half of their steps
            if is_shared and depths_BHW:
                clean_11HW = depths_BHW[0][None].to(device) - 0.5
                latent_B1HW = sample_from_clean(network, *given, clean_11HW, noise_B1HW, timesteps)
            else:
                latent_B1HW = sample_depth(network, *given, noise_B1HW, timesteps)
            depths_BHW.append(latent_B1HW[:, 0].cpu() + 0.5)
        # 4. S maps at network size; metres and the photo's own size are the pipeline's work
        return Hypotheses(
            depth_Shw=torch.cat(depths_BHW),
            kind=self.kind,
            guide_hw3=image_3HW.permute(1, 2, 0).contiguous().cpu(),
            reference=self._reference(guess),
            spread_Shw=torch.cat(spreads_BHW) if spreads_BHW else None,
        )

    def _look(self, image_13HW: Tensor) -> tuple[Tensor, MetricGuess | None]:
        """Semantics, and the metric encoder's guess if there is one; one pass where that does."""
        if self._joint is not None:
            return self._joint.both(image_13HW)
        semantics_1LD = self.encoder.semantics(image_13HW)
        if self.metric_encoder is None:
            return semantics_1LD, None
        return semantics_1LD, self.metric_encoder.metric(image_13HW)

    def _reference(self, guess: MetricGuess | None) -> MetricReference | None:
        """Metres and field of view of the metric encoder at network size, on the CPU."""
        if guess is None or self.metric_encoder is None:
            return None
        return MetricReference(
            depth_HW=guess.depth_BHW[0].float().cpu(),
            valid_HW=guess.valid_BHW[0].cpu(),
            fov_x_deg=float(guess.fov_x_deg_B[0]),
            name=self.metric_encoder.name,
        )


def _corrected(
    network: PPDNetwork,
    given: tuple[Tensor, Tensor],
    anchor: Anchor,
    noise_B1HW: Tensor,
    timesteps: Sequence[int],
    first_11HW: Tensor | None,
) -> CleanMap:
    """Clean maps from noise, or from a first one that is noised again for the second half."""
    if first_11HW is not None:
        timesteps = timesteps[len(timesteps) // 2 :]
        timestep_1 = torch.tensor(timesteps[:1], device=noise_B1HW.device)
        noise_B1HW = add_noise(first_11HW, noise_B1HW, timestep_B=timestep_1)
    map_B1HW = anchor.map_B1HW.expand(len(noise_B1HW), -1, -1, -1)
    return sample_clean_map(network, *given, map_B1HW, noise_B1HW, timesteps)


def _deviation(found: CleanMap, anchor: Anchor) -> Tensor:
    """Standard deviation [B,1,H,W] in ln(metres + 1): sqrt(2) b of a Laplace distribution."""
    b_B1HW = found.log_spread_B1HW.exp() * anchor.range_B[:, None, None, None]
    return math.sqrt(2) * b_B1HW


def _groups(
    generators: Sequence[torch.Generator], *, at_once: int, is_shared: bool
) -> Iterator[Sequence[torch.Generator]]:
    """Generators whose hypotheses run side by side; the first alone where others start from it."""
    if is_shared:
        yield generators[:1]
    for start in range(int(is_shared), len(generators), at_once):
        yield generators[start : start + at_once]


def draw_noise(generators: Sequence[torch.Generator], *, size_hw: tuple[int, int]) -> Tensor:
    """Standard normal [B,1,H,W] float32 on the CPU, so that every device starts from the same."""
    return torch.stack([torch.randn(1, *size_hw, generator=generator) for generator in generators])
