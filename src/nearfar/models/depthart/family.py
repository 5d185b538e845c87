"""What DepthART says about itself (nearfar/family.py), and about the VAR that it starts from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nearfar.family import Family, NetworkKind, NetworkParts, PredictorParts

if TYPE_CHECKING:
    from .predictor import DepthARTPredictor


def _parts() -> NetworkParts:
    from .config import DepthARTConfig
    from .network import DepthARTNetwork
    from .presets import PRESETS

    return NetworkParts(DepthARTConfig, DepthARTNetwork, PRESETS)


def _var_parts() -> NetworkParts:
    from .config import DepthARTConfig
    from .presets import VAR_PRESETS
    from .transformer import VARAlone

    return NetworkParts(DepthARTConfig, VARAlone, VAR_PRESETS)


def _predictor(parts: PredictorParts) -> DepthARTPredictor:
    from nearfar.encoders.base import metric_encoder, of_photos

    from .predictor import DepthARTPredictor

    takes_semantics = parts.network.config.semantics_width > 0
    return DepthARTPredictor(
        parts.network.float(),  # what is folded and what stays float32 must not start from halves
        of_photos(parts.encoder) if takes_semantics else None,
        metric_encoder=metric_encoder(parts.encoder),
        dtype=parts.dtype,
    )


FAMILY = Family(
    name="depthart",
    position=2,
    networks=(
        NetworkKind(name="depthart", parts=_parts, predictor=_predictor),
        NetworkKind(
            name="var",
            parts=_var_parts,
            instead=(
                "a VAR file, which makes images of classes: no tokenizer in it, no depth learned",
                "Give DepthART's model.safetensors; or train from this one: train.init_from=FILE "
                "train.init_strict=false",
            ),
        ),
    ),
)
