"""What PPD and its video form need from a frozen foundation network (docs/ppd.md section 4)."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, runtime_checkable

from torch import Tensor

from nearfar.errors import WeightsError


class SemanticEncoder(Protocol):
    """A frozen network that turns a photo into one semantic vector per coarse token."""

    name: str  # the tag that converted PPD weights carry: dav2, moge2, tiny
    width: int  # D of the semantics
    stride: int  # network pixels per semantic token; equals the coarse patch of the family

    def semantics(self, image_B3HW: Tensor) -> Tensor:
        """Un-normalized semantics [B, h*w, D], row-major, for RGB in 0..1; h, w = H, W / stride."""
        ...


@runtime_checkable
class ClipEncoder(Protocol):
    """A frozen network that looks at all frames of a window together."""

    name: str  # the tag that converted weights carry: pi3, tiny_video
    width: int
    stride: int

    def clip_semantics(self, frames_BT3HW: Tensor) -> Tensor:
        """Un-normalized semantics [B, T, h*w, D], row-major, for clips of RGB in 0..1."""
        ...


class FrameByFrame:
    """An encoder of photos as a `ClipEncoder`: every frame for itself."""

    def __init__(self, encoder: SemanticEncoder) -> None:
        self.encoder = encoder
        self.name, self.width, self.stride = encoder.name, encoder.width, encoder.stride

    def clip_semantics(self, frames_BT3HW: Tensor) -> Tensor:
        """The photo encoder's semantics of every frame, [B, T, h*w, D]."""
        B, T = frames_BT3HW.shape[:2]
        return self.encoder.semantics(frames_BT3HW.flatten(0, 1)).unflatten(0, (B, T))


class MetricGuess(NamedTuple):
    """depth_BHW: metres; valid_BHW: usable (no sky); fov_x_deg_B: horizontal field of view."""

    depth_BHW: Tensor
    valid_BHW: Tensor
    fov_x_deg_B: Tensor


class MetricEncoder(SemanticEncoder, Protocol):
    """A semantic encoder that also knows metres and the field of view."""

    def metric(self, image_B3HW: Tensor) -> MetricGuess:
        """Depth in metres, validity and horizontal field of view at the photo's size."""
        ...


class SemanticsAndMetric(NamedTuple):
    """What `semantics` and `metric` of one encoder say about one batch."""

    semantics_BLD: Tensor
    guess: MetricGuess


@runtime_checkable
class JointEncoder(MetricEncoder, Protocol):
    """A metric encoder whose semantics and metres come out of one and the same pass."""

    def both(self, image_B3HW: Tensor) -> SemanticsAndMetric:
        """Exactly what `semantics` and `metric` give, for the price of one of them."""
        ...


@runtime_checkable
class JointClipEncoder(ClipEncoder, Protocol):
    """A clip encoder whose semantics and metres come out of one and the same pass."""

    def clip_both(self, frames_BT3HW: Tensor) -> SemanticsAndMetric:
        """Semantics [B, T, h*w, D] and a metric guess of all B*T frames in their order."""
        ...


def of_photos(encoder: Any) -> Any:
    """The encoder, which must be one of photos (or None); WeightsError for one of clips."""
    if isinstance(encoder, ClipEncoder):
        raise WeightsError(encoder.name, "an encoder of clips; this model sees photos")
    return encoder


def metric_encoder(encoder: Any) -> MetricEncoder | None:
    """The encoder where it knows metres: tiny always, MoGe-2 with its decoder, DAv2 never."""
    if encoder is None or isinstance(encoder, ClipEncoder) or not encoder.is_metric:
        return None
    return encoder
