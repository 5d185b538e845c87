"""Training objective of the tiny video encoder: log depth of a clip up to one scale for all frames.

e = ln(predicted) - ln(true) on usable pixels of all frames. Shape: root mean square of e minus its
mean over the clip, so a frame whose scale differs from the others' costs as much as wrong shape.
Detail and scale: as for photos (tiny_objective.py), scale per clip. Steady: mean |change of e| from
frame to frame at the same pixel; what flickers is a small part of e, which shape alone would never
get to. Drift, told but not minimized: standard deviation of the frames' mean errors.
"""

from __future__ import annotations

import torch
from torch import nn

from nearfar.batch import ClipBatch

from .tiny_objective import EncoderLosses, detail_loss, log_target, resize_nearest
from .tiny_video import TinyVideoEncoder

_DETAIL, _SCALE = 0.1, 0.2  # weights against the shape term, as for photos
_STEADY = 1.0


class TinyVideoObjective(nn.Module):
    """Losses of clips in metres; deterministic, `generator` is part of the common signature."""

    def __init__(self, network: TinyVideoEncoder) -> None:
        super().__init__()
        self.network = network

    def forward(self, batch: ClipBatch, *, generator: torch.Generator) -> EncoderLosses:
        """valid_BHW, sky_BHW: [B,T,H,W] like the depth."""
        image_BT3HW, depth_BTHW, valid_BTHW, sky_BTHW, _ = batch
        B, T = image_BT3HW.shape[:2]
        out = self.network(image_BT3HW)
        size = out.log_depth_BHW.shape[-2:]
        # frames one below the other: a clip is one tall image, with one scale
        depth_BHW, valid_BHW, sky_BHW = (
            resize_nearest(map_BTHW.flatten(0, 1), size).unflatten(0, (B, T)).flatten(1, 2)
            for map_BTHW in (depth_BTHW, valid_BTHW, sky_BTHW)
        )
        log_BHW = log_target(depth_BHW, valid_BHW, sky_BHW)
        usable_BHW = (valid_BHW | sky_BHW).float()
        predicted_BHW = out.log_depth_BHW.unflatten(0, (B, T)).flatten(1, 2)
        error_BHW = (predicted_BHW - log_BHW) * usable_BHW
        count_B = usable_BHW.sum(dim=(1, 2)).clamp_min(1)
        mean_B11 = (error_BHW.sum(dim=(1, 2)) / count_B)[:, None, None]
        shape_BHW = (error_BHW - mean_B11) * usable_BHW
        shape = (shape_BHW.square().sum(dim=(1, 2)) / count_B + 1e-3).sqrt().mean()

        valid_float_BHW = valid_BHW.float()
        known_B = valid_float_BHW.sum(dim=(1, 2)).clamp_min(1)
        scale = ((error_BHW * valid_float_BHW).sum(dim=(1, 2)) / known_B).abs().mean()
        frames_BTHW = shape_BHW.unflatten(1, (T, -1))
        usable_BTHW = usable_BHW.unflatten(1, (T, -1))
        detail = detail_loss(frames_BTHW.flatten(0, 1), usable_BTHW.flatten(0, 1))
        level_BT = frames_BTHW.sum(dim=(2, 3)) / usable_BTHW.sum(dim=(2, 3)).clamp_min(1)
        drift = level_BT.std(dim=1, correction=0).mean()
        both_BTHW = usable_BTHW[:, 1:] * usable_BTHW[:, :-1]
        changes_BTHW = both_BTHW * frames_BTHW.diff(dim=1).abs()
        steady = changes_BTHW.sum() / both_BTHW.sum().clamp_min(1)
        total = shape + _DETAIL * detail + _SCALE * scale + _STEADY * steady
        parts = {"shape": shape, "detail": detail, "scale": scale, "steady": steady, "drift": drift}
        return EncoderLosses(total, {name: part.detach() for name, part in parts.items()})
