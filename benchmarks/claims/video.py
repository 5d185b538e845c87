"""PPVD's claims in miniature: one part after the other at equal processor seconds, several seeds.

    python benchmarks/claims video --quick                   # under 3 minutes: does it run?
    python benchmarks/claims video --seconds 40 --seeds 3    # 6 trainings a seed: 15 minutes

per frame    PPD on single frames: each has a range (quantiles) of its own
one range    the same network, taught one range for all frames of a clip
temporal     + blocks across frames
references   + reference tokens of the clip's first frames
semantics    + the encoder of clips, whose depth has one scale for all frames: PPVD
one noise    PPVD with one noise for all frames of a clip (ours); above, each has its own
..., one noise  the two networks that see single frames, drawn from one noise: no other training

All start from the image part of ppvd-tiny (blocks across frames as the identity, at the full rate;
the rest at a share of it) and see the same rendered clips, Muon for matrices and a rate that falls
with the clock; semantics are frozen and not counted. A step sees some neighboring frames of a few
clips, a test all frames of a clip as one window, so windows are not stitched here. Judged on paths
through scenes nobody trained on, one scale and shift fitted for each clip: AbsRel, delta1; change
(of depth over true depth along the true motion, percent, what moves or hides left out) and tae
(Video Depth Anything's, which counts those and is not 0 for the truth); scale_spread of the frames;
seconds and MB of activations a frame. Floors: that part as it is, the two encoders' metres, the
truth.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from stamp import store
from torch import Tensor

from nearfar.encoders.base import FrameByFrame, JointClipEncoder
from nearfar.models.ppd.config import PPDVideoConfig
from nearfar.models.ppd.presets import VIDEO_TINY
from nearfar.models.ppd.sample import sample_depth
from nearfar.models.ppd.video_network import PPDVideoNetwork, new_video_network
from nearfar.models.ppd.video_objective import clip_losses, clip_noise
from nearfar.models.ppd.video_predictor import draw_window_noise
from nearfar.sampling.timesteps import logit_normal_timesteps, ppd_timesteps
from nearfar.train.targets import load_initial, read_initial
from nearfar.weights.load import load_encoder

from .options import add_arms, new_parser, read
from .report import over_seeds, print_row, print_tables
from .training import fit
from .video_clips import QUALITY, Clips, Encoders, held_out_clips, scores, seen, training_clips

START = "ppvd-tiny"
SHARE, FRESH = 0.1, ("temporal_blocks",)  # of the rates, for what the start brings; what it lacks
ADAMW = ("x_embedder", "t_embedder", "adaLN_modulation", "final_layer")
CLIPS, FRAMES = 2, 6  # of a step
START_SHARE, TIME_MEAN = 0.3, 0.6  # ours (docs/ppd.md section 7); few steps start from noise
GRADIENT, TEMPORAL = 0.2, 0.1  # weights of the losses, as in the recipe


class Arm(NamedTuple):
    """A network to train, what it is told of the clips, and what it is taught."""

    config: PPDVideoConfig
    semantics: Literal["photo", "clip"] = "photo"
    range: Literal["frame", "clip"] = "clip"


ALONE = replace(VIDEO_TINY, temporal_before=(), reference_from=VIDEO_TINY.depth, shared_noise=False)
TEMPORAL_ONLY = replace(ALONE, temporal_before=VIDEO_TINY.temporal_before)
OWN_NOISE = replace(VIDEO_TINY, shared_noise=False)
ARMS = {
    "per frame": Arm(ALONE, range="frame"),
    "one range": Arm(ALONE),
    "temporal": Arm(TEMPORAL_ONLY),
    "references": Arm(OWN_NOISE),
    "semantics": Arm(OWN_NOISE, semantics="clip"),
    "one noise": Arm(VIDEO_TINY, semantics="clip"),
}
SINGLE = ("per frame", "one range")  # see single frames: one noise needs no other training
CLAIMS = {
    "one range over per frame": ("one range", "per frame"),
    "temporal over one range": ("temporal", "one range"),
    "references over temporal": ("references", "temporal"),
    "semantics over references": ("semantics", "references"),
    "one noise over own": ("one noise", "semantics"),
    "PPVD over per frame": ("semantics", "per frame"),
    "ours over per frame, one noise": ("one noise", "per frame, one noise"),
    "ours over its start": ("one noise", "the start, one noise"),
}


def main(words: Sequence[str]) -> None:
    options = read_options(words)
    encoders = Encoders(
        FrameByFrame(load_encoder("tiny-encoder")), load_encoder(options.video_encoder)
    )
    train, test = load_clips(encoders, options)
    rows: dict[str, list[dict[str, float]]] = {}
    for seed in range(options.seeds):
        for arm_name in options.only:
            for name, row in one_arm(arm_name, train, test, options, seed).items():
                rows.setdefault(name, []).append(row)
                print_row(f"seed {seed} {name}", row)
        for name, row in floors(encoders, test, options, seed).items():
            rows.setdefault(name, []).append(row)
    numbers = {
        "seconds": options.seconds,
        "seeds": options.seeds,
        "dtype": options.dtype,
        "size": options.size,
        "clips": options.clips,
        "test": options.test,
        "frames": options.frames,
        "steps": options.steps,
        "quick": options.quick,
        **over_seeds(rows, CLAIMS),
    }
    print_tables(numbers, names=[*QUALITY, "train_steps", "predict_s", "peak_mb"])
    print(f"{time.process_time():.0f} s of the processor in all")
    store("claims_video", numbers, path=options.output)


def read_options(words: Sequence[str]) -> argparse.Namespace:
    parser = new_parser("video", __doc__, seconds=40, test=16, size=(48, 64))
    parser.add_argument("--clips", type=int, default=192, help="to train on")
    parser.add_argument("--frames", type=int, default=12, help="of a clip")
    parser.add_argument("--steps", type=int, default=2, help="network calls a map")
    add_arms(parser, list(ARMS))
    parser.add_argument(
        "--video-encoder", default="tiny-video-encoder", help="name or file of the clips' encoder"
    )
    parser.set_defaults(drawn=[96, 128], shard=16)  # as the recipes, whose cache serves
    small = {"seconds": 2.0, "clips": 4, "test": 2, "drawn": [48, 64], "shard": 4, "frames": 6}
    return read(parser, words, quick=small)


def load_clips(encoders: Encoders, options: argparse.Namespace) -> tuple[Clips, Clips]:
    """What is trained on, and what is judged."""
    size: dict[str, Any] = {"frames": options.frames, "drawn_hw": tuple(options.drawn)}
    drawn = training_clips(options.clips, shard=options.shard, **size)
    train = seen(drawn, encoders, size_hw=tuple(options.size))
    held_out, cameras = held_out_clips(options.test, **size)
    return train, seen(held_out, encoders, size_hw=tuple(options.size), cameras=cameras)


def one_arm(
    name: str, train: Clips, test: Clips, options: argparse.Namespace, seed: int
) -> dict[str, dict[str, float]]:
    """One training judged, by row name."""
    arm = ARMS[name]
    generator = torch.Generator().manual_seed(1000 * seed + 1)
    network = started(arm.config, generator=generator)
    loss = make_loss(network, arm, train, generator)
    costs = fit(
        network,
        loss,
        seconds=options.seconds,
        adamw=ADAMW,
        share=SHARE,
        fresh=FRESH,
        dtype=options.dtype,
    )
    rows = {name: judged(network, arm, test, options, seed) | costs}
    if name in SINGLE:
        shared = replace(arm.config, shared_noise=True)
        rows[f"{name}, one noise"] = judged(
            network, arm._replace(config=shared), test, options, seed
        )
    return rows


def started(config: PPDVideoConfig, *, generator: torch.Generator) -> PPDVideoNetwork:
    """The network as the image part of ppvd-tiny; blocks across frames as the identity."""
    network = new_video_network(config, generator=generator)
    state = read_initial(Path(START))
    image = {name: part for name, part in state.items() if not name.startswith(FRESH)}
    load_initial(network, image, strict=False)
    return network


def make_loss(
    network: PPDVideoNetwork, arm: Arm, clips: Clips, generator: torch.Generator
) -> Callable[[], Tensor]:
    """The family's loss of some neighboring frames of random clips."""
    T = min(FRAMES, clips.frames)
    target = clips.frame_range if arm.range == "frame" else clips.clip_range
    semantics_NTLD = semantics_of(arm, clips)

    def loss() -> Tensor:
        rows = torch.randint(clips.count, (CLIPS,), generator=generator)
        first = int(torch.randint(clips.frames - T + 1, (1,), generator=generator))
        window = slice(first, first + T)
        clean_B1HW, usable_B1HW = (part[rows, window].flatten(0, 1) for part in target)
        timestep_B = logit_normal_timesteps(
            CLIPS, generator=generator, mean=TIME_MEAN, start_share=START_SHARE
        )
        return clip_losses(
            network,
            clips.image_NT3HW[rows, window],
            semantics_NTLD[rows, window],
            target=target._replace(clean_B1HW=clean_B1HW, usable_B1HW=usable_B1HW),
            noise_B1HW=clip_noise(
                clean_B1HW, T, shared=arm.config.shared_noise, generator=generator
            ),
            timestep_B=timestep_B.repeat_interleave(T),
            gradient_weight=GRADIENT,
            temporal_weight=TEMPORAL,
        ).total

    return loss


def semantics_of(arm: Arm, clips: Clips) -> Tensor:
    return clips.clip_NTLD if arm.semantics == "clip" else clips.photo_NTLD


def judged(
    network: PPDVideoNetwork, arm: Arm, clips: Clips, options: argparse.Namespace, seed: int
) -> dict[str, float]:
    """Scores of the maps of all clips, and what a frame costs."""
    start = time.process_time()
    depth_NTHW = torch.stack(
        [drawn(network, arm, clips, n, options.steps, seed) for n in range(clips.count)]
    )
    predict_s = (time.process_time() - start) / (clips.count * clips.frames)
    peak = peak_bytes(lambda: drawn(network, arm, clips, 0, options.steps, seed))
    costs = {"predict_s": predict_s, "peak_mb": peak / clips.frames / 1e6}
    return scores(depth_NTHW, clips) | costs


@torch.inference_mode()
def drawn(
    network: PPDVideoNetwork, arm: Arm, clips: Clips, index: int, steps: int, seed: int
) -> Tensor:
    """Affine log depth [T,H,W] of a clip as one window; all clips from the same noise."""
    image_T3HW = clips.image_NT3HW[index]
    generator = torch.Generator().manual_seed(1000 * seed + 2)
    noise_T1HW = draw_window_noise(image_T3HW, shared=arm.config.shared_noise, generator=generator)
    semantics_TLD = semantics_of(arm, clips)[index]
    latent_T1HW = sample_depth(network, image_T3HW, semantics_TLD, noise_T1HW, ppd_timesteps(steps))
    return latent_T1HW[:, 0] + 0.5


def peak_bytes(work: Callable[[], object]) -> int:
    """The most memory that tensors made during the work held at once."""
    from torch.autograd.profiler import profile

    with profile(profile_memory=True, use_kineto=True) as found:
        work()
    held, most = 0, 0
    events = [e for e in found.kineto_results.events() if e.name() == "[memory]"]
    for event in sorted(events, key=lambda e: e.start_ns()):
        held += event.nbytes()
        most = max(most, held)
    return most


def floors(
    encoders: Encoders, test: Clips, options: argparse.Namespace, seed: int
) -> dict[str, dict[str, float]]:
    """Rows that need no training of ours."""
    network = started(ALONE, generator=torch.Generator().manual_seed(0)).eval()
    shared = Arm(replace(ALONE, shared_noise=True))
    rows = {"the start, one noise": judged(network, shared, test, options, seed)}
    with torch.inference_mode():
        for name, encoder in (("encoder", encoders.photo.encoder), ("clip encoder", encoders.clip)):
            if isinstance(encoder, JointClipEncoder):
                guesses = [encoder.clip_both(clip[None]).guess for clip in test.image_NT3HW]
            else:
                guesses = [encoder.metric(clip) for clip in test.image_NT3HW]
            depth_NTHW = torch.stack([guess.depth_BHW for guess in guesses])
            rows[name] = scores(torch.log1p(depth_NTHW), test)
    far_NTHW = torch.where(test.valid_NTHW, test.depth_NTHW, 80.0)
    rows["truth"] = scores(torch.log1p(far_NTHW), test)
    return rows
