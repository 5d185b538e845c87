"""From a window's frames to PPVD's depth, stitched to the windows before (docs/ppd.md section 11).

Output + 0.5 is affine log depth: ln(metres + 1) = s * depth + t, with one s and t for all windows
since the last without references. Frames are RGB (Released code: the demo feeds BGR by mistake).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from nearfar.encoders.base import ClipEncoder, JointClipEncoder, MetricGuess
from nearfar.errors import ConfigError
from nearfar.geometry.resize import network_size, photo_to_network, resize
from nearfar.models.base import KeyFrames, MetricReference, WindowDepth
from nearfar.result import DepthKind
from nearfar.sampling.timesteps import ppd_timesteps

from .predictor import DEFAULT_STEPS
from .sample import sample_depth
from .video_network import PPDVideoNetwork

# Windows stitched in the model's own space (arXiv 2601.05246; docs/ppd.md section 11.6).
#
# A window's key slots show frames whose depth R is known already: (s, b) minimizes |s P + b - R|^2
# over all their pixels, and the window gives out s P + b. The reference of slot 0 stays that of the
# first window, so errors cannot pile up along the clip. Sums in float64 (Released code: float32).


class Stitched(NamedTuple):
    """depth_Thw: all slots in the clip's scale; key_depth_Thw: of the next window's key slots."""

    depth_Thw: Tensor
    key_depth_Thw: Tensor
    scale: float
    shift: float


class Line(NamedTuple):
    """target = scale * prediction + shift."""

    scale: float
    shift: float


def fit_scale_shift(prediction: Tensor, target: Tensor, *, usable: Tensor | None = None) -> Line:
    """Least squares over all (usable) pixels by the normal equations; (1, 0) if singular."""
    p_P, r_P = prediction.double().flatten(), target.double().flatten()
    if usable is not None:
        p_P, r_P = p_P[usable.flatten()], r_P[usable.flatten()]
    count = p_P.numel()
    squares, total, product = (p_P * p_P).sum(), p_P.sum(), (p_P * r_P).sum()
    wanted = r_P.sum()
    determinant = squares * count - total * total
    if not torch.isfinite(determinant) or determinant <= 1e-12 * squares * count:
        return Line(1.0, 0.0)
    scale = (count * product - total * wanted) / determinant
    shift = (squares * wanted - total * product) / determinant
    return Line(float(scale), float(shift))


def stitch(
    depth_Thw: Tensor, key_depth_Thw: Tensor | None, *, key_frames: Sequence[int]
) -> Stitched:
    """A window's maps [T,h,w] in the scale of the windows before; as they are for the first."""
    keys = list(key_frames)
    if key_depth_Thw is None:
        return Stitched(depth_Thw, depth_Thw[keys], 1.0, 0.0)
    scale, shift = fit_scale_shift(depth_Thw[: len(keys)], key_depth_Thw)
    depth_Thw = (depth_Thw.double() * scale + shift).float()
    return Stitched(depth_Thw, torch.cat([key_depth_Thw[:1], depth_Thw[keys[1:]]]), scale, shift)


# Which frames a window sees (arXiv 2601.05246; docs/ppd.md section 11.5).
#
# Window 0 is the first `window` frames; each later one opens with the key frames of the window
# before (as that window saw them, so slot 0 is always the clip's frame 0) and goes on with new
# ones. What a clip lacks to a full window is filled by repeating the last frame. Released code:
# clips of 1 to 3 frames fail; here they are filled like any other.


def window_frames(length: int, *, window: int, key_frames: Sequence[int]) -> list[list[int]]:
    """Frame numbers of every window of a clip of `length` frames."""
    if length < 1:
        raise ConfigError("window_frames", f"a clip of {length} frames")
    windows = [[min(frame, length - 1) for frame in range(window)]]
    done = window
    while done < length:
        opening = [windows[-1][slot] for slot in key_frames]
        new = range(done, done + window - len(opening))
        windows.append([*opening, *(min(frame, length - 1) for frame in new)])
        done = new.stop
    return windows


def fill_window(frames_T3hw: Tensor, references: KeyFrames | None, *, window: int) -> Tensor:
    """The slots of one window [T,3,h,w]: key frames, the new frames, the last one repeated."""
    opening_T3hw = frames_T3hw[:0] if references is None else references.frames_T3hw
    room = window - len(opening_T3hw)
    if not 1 <= len(frames_T3hw) <= room:
        raise ConfigError(
            "predict_window",
            f"{len(frames_T3hw)} new frames",
            f"A window {'without' if references is None else 'with'} references takes 1 to {room}",
        )
    if opening_T3hw.shape[1:] != frames_T3hw.shape[1:]:
        raise ConfigError(
            "predict_window",
            f"frames {list(frames_T3hw.shape[1:])}, references {list(opening_T3hw.shape[1:])}",
            "A clip keeps its size; start anew without references",
        )
    last_T3hw = frames_T3hw[-1:].expand(room - len(frames_T3hw), -1, -1, -1)
    return torch.cat([opening_T3hw, frames_T3hw, last_T3hw])


class PPDVideoPredictor:
    """A video network with its encoder, ready for windows (`models.base.VideoPredictor`)."""

    kind = DepthKind.AFFINE_LOG_DEPTH

    def __init__(
        self,
        network: PPDVideoNetwork,
        encoder: ClipEncoder,
        *,
        default_steps: int = DEFAULT_STEPS,
        default_area: int | None = None,
        keep_aspect: bool | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """The network's weights are cast to `dtype` in place; the encoder is used as it is.

        keep_aspect: False squashes frames to the trained shape, True keeps theirs (with a position
        table that is an extension). None: False for networks with a table, True for the others.
        """
        config = network.config
        wanted = (config.semantics_width, config.coarse_patch)
        if (encoder.width, encoder.stride) != wanted:
            raise ConfigError(
                "PPDVideoPredictor",
                f"encoder {encoder.name} gives {encoder.width} channels and {encoder.stride} "
                f"pixels a token, the network takes {wanted[0]} and {wanted[1]}",
                "Pair the network with the encoder it was trained with",
            )
        self.network = network.to(dtype=dtype).eval()
        self.encoder = encoder
        self.default_steps = default_steps
        height, width = config.trained_hw
        self.default_area = height * width if default_area is None else default_area
        self.keep_aspect = config.positions == "rope" if keep_aspect is None else keep_aspect
        self.window = config.window
        self.stride = config.stride

    def prepare(self, image_3HW: Tensor, *, area: int) -> Tensor:
        """One frame (RGB 0..1 or uint8, any size) as [3,h,w] float32 0..1 at network size.

        Squashed: bilinear without antialias, as the published network was trained.
        """
        image_3HW = image_3HW.float() / 255 if image_3HW.dtype == torch.uint8 else image_3HW
        multiple = self.network.config.coarse_patch
        if self.keep_aspect:
            return photo_to_network(image_3HW, area=area, multiple=multiple)
        size_hw = network_size(*self.network.config.trained_hw, area=area, multiple=multiple)
        return resize(image_3HW, size_hw, method="bilinear")

    @torch.inference_mode()
    def predict_window(
        self,
        frames_T3hw: Tensor,
        *,
        references: KeyFrames | None,
        steps: int,
        generator: torch.Generator,
    ) -> WindowDepth:
        """Depth of the given new frames as affine log depth, in the scale of `references`."""
        config = self.network.config
        timesteps = ppd_timesteps(steps)
        slots_T3HW = fill_window(frames_T3hw.cpu(), references, window=config.window)
        first = 0 if references is None else len(config.key_frames)
        new = slice(first, first + len(frames_T3hw))
        device = self.network.x_embedder.proj.weight.device
        window_T3HW = slots_T3HW.to(device)
        semantics_TLD, guess = self._look(window_T3HW)
        noise_T1HW = draw_window_noise(slots_T3HW, shared=config.shared_noise, generator=generator)
        latent_T1HW = sample_depth(
            self.network, window_T3HW, semantics_TLD, noise_T1HW.to(device), timesteps
        )
        stitched = stitch(
            latent_T1HW[:, 0].cpu() + 0.5,
            None if references is None else references.depth_Thw,
            key_frames=config.key_frames,
        )
        return WindowDepth(
            depth_Thw=stitched.depth_Thw[new],
            kind=self.kind,
            key_frames=KeyFrames(slots_T3HW[list(config.key_frames)], stitched.key_depth_Thw),
            scale=stitched.scale,
            shift=stitched.shift,
            metres=_references(guess, new, name=self.encoder.name),
        )

    def _look(self, window_T3HW: Tensor) -> tuple[Tensor, MetricGuess | None]:
        """Semantics of a window, and metres where the encoder knows them."""
        if isinstance(self.encoder, JointClipEncoder):
            semantics_1TLD, guess = self.encoder.clip_both(window_T3HW[None])
            return semantics_1TLD[0], guess
        return self.encoder.clip_semantics(window_T3HW[None])[0], None


def draw_window_noise(slots_T3HW: Tensor, *, shared: bool, generator: torch.Generator) -> Tensor:
    """Standard normal [T,1,H,W] float32 on the CPU, so that every device starts from the same.

    shared: one for all slots.
    """
    T, _, H, W = slots_T3HW.shape
    noise_T1HW = torch.randn(1 if shared else T, 1, H, W, generator=generator)
    return noise_T1HW.expand(T, -1, -1, -1)


def _references(
    guess: MetricGuess | None, frames: slice, *, name: str
) -> tuple[MetricReference, ...]:
    """The metric guess of each of these frames, on the CPU; empty without one."""
    if guess is None:
        return ()
    parts = (guess.depth_BHW[frames], guess.valid_BHW[frames], guess.fov_x_deg_B[frames])
    rows = zip(*parts, strict=True)
    return tuple(
        MetricReference(depth_HW.float().cpu(), valid_HW.cpu(), float(fov), name)
        for depth_HW, valid_HW, fov in rows
    )
