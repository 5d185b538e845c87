"""Tokenizers and rivals of nextscale.py: how they are built, trained and asked for maps.

Every table of scales describes the same features: the tokenizer's encoder is frozen after its own
training, and only codes, correction convolutions and decoder are tuned to a table.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from nearfar.batch import DepthBatch
from nearfar.geometry.depth_curves import depth_image
from nearfar.models.depthart.network import DepthARTNetwork
from nearfar.models.depthart.network import new_network as new_depthart
from nearfar.models.depthart.objective import CodeObjective
from nearfar.models.depthart.presets import TINY as DEPTHART
from nearfar.models.depthart.sample import choice
from nearfar.models.depthart.sample import sample_f_hat as sample_depthart
from nearfar.models.var_depth.network import VarDepthNetwork
from nearfar.models.var_depth.network import new_network as new_var_depth
from nearfar.models.var_depth.objective import code_loss, own_pass, teacher_pass, token_weights
from nearfar.models.var_depth.presets import TINY as VAR_DEPTH
from nearfar.models.var_depth.sample import Choose, Guidance
from nearfar.models.var_depth.sample import sample_f_hat as sample_var_depth
from nearfar.tokenizers.objective import TokenizerObjective, error_gradient
from nearfar.tokenizers.presets import TINY_DEPTH
from nearfar.tokenizers.revival import count_and_revive
from nearfar.tokenizers.vqvae import VQVAE, draw_codebook
from nearfar.train.targets import draw_weights

from .scenes import Maps, Scenes
from .training import fit

CURVE = "log"
BATCH, HYPOTHESES, AT_ONCE = 8, 4, 16
DROPOUT, SELF_REFINEMENT, GRADIENT_WEIGHT = 0.1, 0.5, 0.5  # as in our recipes
TUNING_SHARE = 0.3  # of the rates
SIZES = {"width": 128, "depth": 4, "heads": 2}
PHOTO_SIZES = {"context_width": 128, "pooled_width": 128, "ladder_width": 64}
# What Muon must not touch: first and last layers, embeddings, modulation, what starts at zero.
TOKENIZER_ADAMW = ("conv_in", "conv_out", "quant")
DEPTHART_ADAMW = (
    *("word_embed", "class_emb", "pos_", "lvl_embed", "head", "ada_gss", "scale_mul"),
    "semantic_prefix",
)
VAR_DEPTH_ADAMW = (
    *("word_embed", "pos_start", "lvl_embed", "head", "text_pooler", "ada_lin", "place", "into"),
    *("weight_DC", "gain_KC", "shift_KC", "null_", "learned_MD", "global_D", "ladder.start"),
)


class Pool(NamedTuple):
    """Scenes, their depth images in -1..1, and what a tokenizer's encoder makes of those."""

    scenes: Scenes
    image_B1HW: Tensor
    f_BChw: Tensor


class StoredSemantics:
    """An encoder that gives semantics computed before."""

    name, stride = "stored", 8  # pixels of the squares a token

    def __init__(self, semantics_BLD: Tensor) -> None:
        self.semantics_BLD, self.width = semantics_BLD, semantics_BLD.shape[-1]

    def semantics(self, image_B3HW: Tensor) -> Tensor:
        return self.semantics_BLD


def new_tokenizer(train: Scenes, *, seconds: float, generator: torch.Generator) -> VQVAE:
    """A tokenizer of preset tiny_depth, trained on these scenes; sky and the far end are +1."""
    with torch.random.fork_rng(devices=[]):
        network = VQVAE(TINY_DEPTH)
    draw_weights(network, generator=generator)
    draw_codebook(network, generator=generator)
    curves = {CURVE: partial(depth_image, curve=CURVE)}
    objective = TokenizerObjective(network, curves=curves, curve=CURVE)

    def loss() -> Tensor:
        rows = torch.randint(train.count, (BATCH,), generator=generator)
        return objective(
            DepthBatch(
                train.image_B3HW[rows],
                train.depth_BHW[rows],
                valid_BHW=train.valid_BHW[rows],
                sky_BHW=~train.valid_BHW[rows],
                fov_x_deg_B=train.fov_x_deg_B[rows],
            ),
            generator=generator,
        ).total

    fit(network, loss, seconds=seconds, adamw=TOKENIZER_ADAMW)
    return network.requires_grad_(False)


@torch.inference_mode()
def encoded(tokenizer: VQVAE, scenes: Scenes) -> Pool:
    """The scenes as every tokenizer with this encoder sees them."""
    image_B1HW = depth_image(scenes.depth_BHW, scenes.valid_BHW, curve=CURVE)
    f_BChw = torch.cat([tokenizer.features(part_B1HW) for part_B1HW in image_B1HW.split(AT_ONCE)])
    return Pool(scenes, image_B1HW.clone(), f_BChw.clone())


def tuned_tokenizer(
    tokenizer: VQVAE,
    scales: tuple[int, ...],
    pool: Pool,
    *,
    seconds: float,
    generator: torch.Generator,
) -> VQVAE:
    """The tokenizer with other scales: codes, corrections and decoder trained on, encoder kept."""
    with torch.device("meta"):
        network = VQVAE(replace(tokenizer.config, scales=scales))
    state = {name: tensor.clone() for name, tensor in tokenizer.state_dict().items()}
    network.load_state_dict(state, assign=True)
    network.requires_grad_(True)
    for part in (network.encoder, network.quant_conv):
        part.requires_grad_(False)

    def loss() -> Tensor:
        rows = torch.randint(len(pool.f_BChw), (BATCH,), generator=generator)
        image_B1HW = pool.image_B1HW[rows]
        taken = network.quantize(pool.f_BChw[rows])
        error_B1HW = network.reconstruct(taken.f_hat_BCHW) - image_B1HW
        count_and_revive(network.quantize, taken, generator=generator)
        gradient = error_gradient(error_B1HW, torch.ones_like(image_B1HW))
        return error_B1HW.abs().mean() + GRADIENT_WEIGHT * gradient + taken.loss

    fit(network, loss, seconds=seconds, adamw=TOKENIZER_ADAMW, share=TUNING_SHARE)
    return network.requires_grad_(False)


@torch.inference_mode()
def ceiling(tokenizer: VQVAE, pool: Pool) -> Maps:
    """What is left of the truth behind a tokenizer: no network on it can be better."""
    parts = [
        tokenizer.decode(tokenizer.quantize.encode(f_BChw).partial_sums[-1])[:, 0]
        for f_BChw in pool.f_BChw.split(AT_ONCE)
    ]
    return Maps(torch.cat(parts)[None])


def train_depthart(
    kind: type[CodeObjective],
    tokenizer: VQVAE,
    pool: Pool,
    *,
    seconds: float,
    generator: torch.Generator,
) -> tuple[DepthARTNetwork, dict[str, float]]:
    """A DepthART network taught by an objective, and its costs."""
    config = replace(DEPTHART, **SIZES, tokenizer=tokenizer.config)
    network = new_depthart(config, generator=generator)
    network.tokenizer = tokenizer
    objective = kind(network)

    def loss() -> Tensor:
        rows = torch.randint(len(pool.f_BChw), (BATCH,), generator=generator)
        photo_BMD = pool.scenes.semantics_BLD[rows]
        return objective.losses(photo_BMD, pool.f_BChw[rows], generator=generator).total

    return network, fit(network, loss, seconds=seconds, adamw=DEPTHART_ADAMW)


@torch.inference_mode()
def depthart_maps(
    network: DepthARTNetwork, pool: Pool, *, mode: str, generator: torch.Generator
) -> Maps:
    """Free-running maps: one of every scene where nothing is drawn, else HYPOTHESES."""
    found = []
    for _ in range(1 if mode == "greedy" else HYPOTHESES):
        parts = []
        for semantics_BLD in pool.scenes.semantics_BLD.split(AT_ONCE):
            f_hat_BChw = sample_depthart(
                network,
                network.begin(semantics_BLD),
                choose=choice(mode),
                generators=[generator] * len(semantics_BLD),
            )
            parts.append(network.tokenizer.decode(f_hat_BChw)[:, 0])
        found.append(torch.cat(parts))
    return Maps(torch.stack(found))


def train_var_depth(
    spatial: str, tokenizer: VQVAE, pool: Pool, *, seconds: float, generator: torch.Generator
) -> tuple[VarDepthNetwork, dict[str, float]]:
    """A VAR-Depth network with one way of placing the photo, and its costs.

    Loss as in our recipe: balanced cross-entropy, half of the batches on own codes.
    """
    config = replace(VAR_DEPTH, **SIZES, **PHOTO_SIZES, spatial=spatial, tokenizer=tokenizer.config)
    network = new_var_depth(config, generator=generator)
    network.tokenizer = tokenizer
    weight_L = token_weights(tokenizer.config.scales, balanced=True)

    def loss() -> Tensor:
        rows = torch.randint(len(pool.f_BChw), (BATCH,), generator=generator)
        drawn = torch.rand(BATCH + 1, generator=generator)
        given = network.condition_on(
            pool.scenes.image_B3HW[rows],
            encoder=StoredSemantics(pool.scenes.semantics_BLD[rows]),
            keep_B=drawn[1:] >= DROPOUT,
        )
        run = own_pass if drawn[0] < SELF_REFINEMENT else teacher_pass
        found = run(network, given, pool.f_BChw[rows])
        return code_loss(found.logits_BLV, found.target_BL, weight_L=weight_L)

    return network, fit(network, loss, seconds=seconds, adamw=VAR_DEPTH_ADAMW)


@torch.inference_mode()
def var_depth_maps(
    network: VarDepthNetwork,
    pool: Pool,
    *,
    mode: str,
    generator: torch.Generator,
    guidance_scale: float = 0.0,
    sees_photo: bool = True,
) -> Maps:
    """Maps: one of every scene where nothing is drawn, else HYPOTHESES."""
    choose, without = Choose(mode=mode), network.unconditional()
    found = []
    for _ in range(HYPOTHESES if choose.draws else 1):
        parts = []
        for first in range(0, pool.scenes.count, AT_ONCE):
            rows = slice(first, min(first + AT_ONCE, pool.scenes.count))
            given = without
            if sees_photo:
                encoder = StoredSemantics(pool.scenes.semantics_BLD[rows])
                given = network.condition_on(pool.scenes.image_B3HW[rows], encoder=encoder)
            f_hat_BChw = sample_var_depth(
                network,
                given,
                choose=choose,
                generators=[generator] * (rows.stop - rows.start),
                guidance=Guidance(scale=guidance_scale),
                without=without,
            )
            parts.append(network.tokenizer.decode(f_hat_BChw)[:, 0])
        found.append(torch.cat(parts))
    return Maps(torch.stack(found))
