"""Table: model kind -> the network to train, its objective, and how to look at it.

A new family adds one builder and one line. `preview` gives depth for validation: [B,H,W], larger =
farther, affine in ln(metres + 1); `echo` does, of metres and valid, for what sees the depth itself.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from nearfar.errors import ConfigError, WeightsError
from nearfar.models.base import Objective

from .clip_targets import ppd_video, tiny_video_encoder
from .config import Recipe
from .frozen_parts import (
    encoder_sha256,
    freeze_parts,
    frozen_encoder,
    packaged_backbone,
    put_backbone,
    put_tokenizer,
    require_width,
)
from .second_stage import var_depth_upsampler
from .shards import Blocks, put_network
from .tokenizer_target import depth_tokenizer

if TYPE_CHECKING:
    from nearfar.tokenizers.vqvae import VQVAE

Preview = Callable[[Tensor, torch.Generator, int], Tensor]
Echo = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """What the loop trains. encoder: tag of the encoder the weights belong to, or are.

    encoder_sha256: of the file of the frozen encoder; other weights of the same tag would not fit.
    on_progress: is told before every step which share of the steps is done. blocks: what sharding
    gathers one at a time (shards.py); none where a kind is not made for it.
    """

    network: nn.Module
    objective: Objective
    preview: Preview | None
    family: str
    preset: str
    echo: Echo | None = None
    encoder: str = ""
    encoder_sha256: str = ""
    on_progress: Callable[[float], None] | None = None
    blocks: Blocks = field(default_factory=dict)


TargetBuilder = Callable[[Recipe, torch.device], Target]


class TrainedObjective(nn.Module):
    """Network and objective as one module, so that DDP and FSDP see the call they must wrap.

    Only the network is registered: what the objective holds besides (a frozen encoder) is not
    trained, not synchronized and not saved. dtype: the recipe's, settled: bf16 or fp32.
    """

    def __init__(self, network: nn.Module, objective: Objective, *, dtype: str) -> None:
        super().__init__()
        self.network = network
        self.dtype = dtype
        self.__dict__["objective"] = objective  # past Module.__setattr__: not registered

    def forward(self, image_B3HW: Tensor, depth_BHW: Tensor, **rest: Any) -> Any:
        with autocast(image_B3HW.device, self.dtype):
            return self.__dict__["objective"](image_B3HW, depth_BHW, **rest)


def autocast(device: torch.device, dtype: str) -> torch.autocast:
    """bf16 for matrix products and convolutions over fp32 weights, or nothing for fp32.

    Ours rather than accelerate's, whose precision is fixed for the whole process.
    """
    assert dtype in ("bf16", "fp32"), dtype  # "auto" is settled when a run starts
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=dtype == "bf16")


def build_target(recipe: Recipe, device: torch.device) -> Target:
    """Network (initialized from train.seed) and objective of the recipe, on the device."""
    kind = recipe.model.kind
    if kind not in TARGETS:
        raise ConfigError(
            "model.kind", f"unknown kind {kind!r}", f"Use one of {', '.join(TARGETS)}"
        )
    with torch.random.fork_rng(devices=[]):  # constructors draw; the caller's state is kept
        target = TARGETS[kind](recipe, device)
    freeze_parts(target.network, recipe.train.frozen)
    return target


@torch.no_grad()
def draw_weights(network: nn.Module, *, generator: torch.Generator) -> None:
    """Redraw what torch's constructors drew from the global state, by the same distributions.

    Linear and convolution: weight and bias uniform in +-1/sqrt(fan in). Constants stay.
    """
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            bound = module.weight[0].numel() ** -0.5
            module.weight.uniform_(-bound, bound, generator=generator)
            if module.bias is not None:
                module.bias.uniform_(-bound, bound, generator=generator)


def read_initial(path: Path) -> dict[str, Tensor]:
    """Tensors to start from, by our names: of an entry or file of ours, or of a published VAR."""
    from nearfar.models.depthart import keys
    from nearfar.weights.load import obtain
    from nearfar.weights.registry import ENTRIES, find
    from nearfar.weights.safe import is_pickle, read_pickle, read_safetensors

    path = obtain(find(str(path))) if str(path) in ENTRIES else path
    content = read_pickle(path) if is_pickle(path) else read_safetensors(path).tensors
    if keys.is_published(content):
        return keys.from_published(content, where=path).tensors
    return {name: tensor for name, tensor in content.items() if isinstance(tensor, Tensor)}


def load_initial(network: nn.Module, state: Mapping[str, Tensor], *, strict: bool) -> list[str]:
    """Start from other weights; returns what did not fit, one line each (strict: raises)."""
    own = network.state_dict()
    faults = [f"{name}: missing" for name in own if name not in state]
    faults += [f"{name}: not in this network" for name in state if name not in own]
    faults += [
        f"{name}: shape {list(state[name].shape)}, here {list(own[name].shape)}"
        for name in own
        if name in state and state[name].shape != own[name].shape
    ]
    if strict and faults:
        raise WeightsError(
            "train.init_from",
            f"{len(faults)} tensors do not fit ({'; '.join(faults[:3])})",
            "Set train.init_strict=false to take what fits",
        )
    fitting = {n: t for n, t in state.items() if n in own and t.shape == own[n].shape}
    if not fitting:
        raise WeightsError("train.init_from", "no tensor of it fits this network")
    put_network(network, fitting, strict=False)
    return faults


def _tiny_encoder(recipe: Recipe, device: torch.device) -> Target:
    from nearfar.encoders.tiny import PRESETS, TinyEncoder
    from nearfar.encoders.tiny_objective import TinyEncoderObjective

    network = TinyEncoder(preset_of(PRESETS, recipe))
    draw_weights(network, generator=torch.Generator().manual_seed(recipe.train.seed))
    network.to(device)
    options = checked_options(TinyEncoderObjective, recipe.train.objective)

    def preview(image_B3HW: Tensor, generator: torch.Generator, steps: int) -> Tensor:
        return torch.log1p(network.metric(image_B3HW).depth_BHW)

    return Target(
        network=network,
        objective=TinyEncoderObjective(network, **options),
        preview=preview,
        family="tiny_encoder",
        preset=recipe.model.preset,
        encoder=network.name,
    )


def _photo_encoder(recipe: Recipe, device: torch.device) -> Target:
    from nearfar.encoders.efficientnet_lite import from_published
    from nearfar.encoders.photo import PRESETS, PhotoEncoder
    from nearfar.encoders.photo_objective import PhotoEncoderObjective

    network = PhotoEncoder(preset_of(PRESETS, recipe))
    generator = torch.Generator().manual_seed(recipe.train.seed)
    draw_weights(network.decoder, generator=generator)
    torch.nn.init.zeros_(network.decoder.maps.weight)
    if not recipe.model.backbone:
        draw_weights(network.backbone, generator=generator)
    else:
        found = packaged_backbone(recipe.model.backbone)
        config = network.config.backbone
        network.backbone.load_state_dict(
            from_published(found.tensors, config, where=found.path), strict=True
        )
    network.to(device)
    options = checked_options(PhotoEncoderObjective, recipe.train.objective)

    def preview(image_B3HW: Tensor, generator: torch.Generator, steps: int) -> Tensor:
        return torch.log1p(network.metric(image_B3HW).depth_BHW)

    return Target(
        network=network,
        objective=PhotoEncoderObjective(network, **options),
        preview=preview,
        family="photo_encoder",
        preset=recipe.model.preset,
        encoder=network.name,
    )


def _ppd(recipe: Recipe, device: torch.device) -> Target:
    from nearfar.models.ppd.anchor import anchor_of
    from nearfar.models.ppd.network import new_network
    from nearfar.models.ppd.objective import PPDCorrectionObjective, PPDObjective
    from nearfar.models.ppd.presets import PRESETS
    from nearfar.models.ppd.sample import sample_clean_map, sample_depth
    from nearfar.sampling.timesteps import ppd_timesteps

    encoder = frozen_encoder(recipe, device)
    config = preset_of(PRESETS, recipe)
    require_width(encoder.width, config.semantics_width, recipe)
    generator = torch.Generator().manual_seed(recipe.train.seed)
    network = new_network(config, generator=generator).to(device)
    is_clean = config.prediction == "clean"
    kind: Any = PPDCorrectionObjective if is_clean else PPDObjective
    options = {} if is_clean else {"gradient_weight": 0.0}
    options |= checked_options(kind, recipe.train.objective)

    def preview(image_B3HW: Tensor, generator: torch.Generator, steps: int) -> Tensor:
        B, _, H, W = image_B3HW.shape
        noise_B1HW = torch.randn(B, 1, H, W, generator=generator, device=generator.device)
        if is_clean:
            semantics_BLD, guess = encoder.both(image_B3HW)
            anchor = anchor_of(guess)
            given = (image_B3HW, semantics_BLD, anchor.map_B1HW, noise_B1HW.to(device))
            found = sample_clean_map(network, *given, ppd_timesteps(steps))
            return anchor.log_depth(found.clean_B1HW)[:, 0]
        semantics_BLD = encoder.semantics(image_B3HW)
        latent_B1HW = sample_depth(
            network,
            image_B3HW,
            semantics_BLD,
            noise_B1HW.to(device),
            ppd_timesteps(steps),
        )
        return latent_B1HW[:, 0] + 0.5

    return Target(
        network=network,
        objective=kind(network, encoder, **options),
        preview=preview,
        family="ppd",
        preset=recipe.model.preset,
        encoder=encoder.name,
        encoder_sha256=encoder_sha256(recipe.model.encoder),
    )


def _dar(recipe: Recipe, device: torch.device) -> Target:
    from nearfar.models.dar.initial import new_network
    from nearfar.models.dar.objective import DARObjective
    from nearfar.models.dar.presets import PRESETS
    from nearfar.models.dar.sample import at_photo, sample_steps

    drawn = torch.Generator().manual_seed(recipe.train.seed)
    network = new_network(preset_of(PRESETS, recipe), generator=drawn)
    started_from = put_backbone(network.encoder.backbone, recipe)
    network.to(device)
    options = checked_options(DARObjective, recipe.train.objective)

    def preview(image_B3HW: Tensor, generator: torch.Generator, steps: int) -> Tensor:
        size_hw = (image_B3HW.shape[-2], image_B3HW.shape[-1])
        sizes_hw = network.sizes(network.padded_size(size_hw))
        found = sample_steps(network, network.encode(image_B3HW), sizes_hw, stop_at=len(sizes_hw))
        return torch.log1p(at_photo(network, found[-1].depth_B1hw, size_hw))

    return Target(
        network=network,
        objective=DARObjective(network, **options),
        preview=preview,
        family="dar",
        preset=recipe.model.preset,
        encoder_sha256=started_from,  # the photo encoder itself is saved inside
        blocks=network.blocks(),
    )


def _depthart(recipe: Recipe, device: torch.device) -> Target:
    from nearfar.models.depthart.objective import DynamicTargets

    return _next_scale_depth(recipe, device, DynamicTargets)


def _depth_var(recipe: Recipe, device: torch.device) -> Target:
    """The same network taught by the depth map's own tokens."""
    from nearfar.models.depthart.objective import TeacherForcing

    return _next_scale_depth(recipe, device, TeacherForcing)


def _next_scale_depth(recipe: Recipe, device: torch.device, objective: Any) -> Target:
    from nearfar.models.depthart.choose import choice
    from nearfar.models.depthart.network import new_network
    from nearfar.models.depthart.presets import PRESETS
    from nearfar.models.depthart.sample import sample_f_hat
    from nearfar.models.depthart.square import squash_photo

    config = preset_of(PRESETS, recipe)
    encoder = frozen_encoder(recipe, device) if config.prefix == "encoder" else None
    network = new_network(config, generator=torch.Generator().manual_seed(recipe.train.seed))
    put_tokenizer(network.tokenizer, recipe.model.tokenizer)
    network.to(device)
    options = checked_options(objective, recipe.train.objective)

    def preview(image_B3HW: Tensor, generator: torch.Generator, steps: int) -> Tensor:
        photo_BMC = network.photo_vectors(squash_photo(image_B3HW, config), encoder)
        started, generators = network.begin(photo_BMC), [generator] * len(image_B3HW)
        f_hat_BCHW = sample_f_hat(network, started, choose=choice("greedy"), generators=generators)
        return _decoded(network.tokenizer, f_hat_BCHW, config.curve, like=image_B3HW)

    return Target(
        network=network,
        objective=objective(network, encoder, **options),
        preview=preview,
        family="depthart",
        preset=recipe.model.preset,
        encoder="" if encoder is None else encoder.name,
        encoder_sha256="" if encoder is None else encoder_sha256(recipe.model.encoder),
    )


def _var_depth(recipe: Recipe, device: torch.device) -> Target:
    from nearfar.models.var_depth.choose import Choose
    from nearfar.models.var_depth.initial import new_network
    from nearfar.models.var_depth.objective import VarDepthObjective
    from nearfar.models.var_depth.presets import PRESETS
    from nearfar.models.var_depth.sample import sample_f_hat
    from nearfar.models.var_depth.square import squash_photo

    config = preset_of(PRESETS, recipe)
    encoder = frozen_encoder(recipe, device) if config.photo == "encoder" else None
    network = new_network(config, generator=torch.Generator().manual_seed(recipe.train.seed))
    put_tokenizer(network.tokenizer, recipe.model.tokenizer, own_scales=True)
    if network.upsampler is not None:
        network.upsampler.requires_grad_(False)  # the second stage is trained apart
    network.to(device)
    options = checked_options(VarDepthObjective, recipe.train.objective)

    def preview(image_B3HW: Tensor, generator: torch.Generator, steps: int) -> Tensor:
        given = network.condition_on(squash_photo(image_B3HW, config), encoder=encoder)
        generators = [generator] * len(image_B3HW)
        choose = Choose(mode="expected")  # draws nothing
        f_hat_BChw = sample_f_hat(network, given, choose=choose, generators=generators)
        return _decoded(network.tokenizer, f_hat_BChw, config.curve, like=image_B3HW)

    objective = VarDepthObjective(network, encoder, **options)
    return Target(
        network=network,
        objective=objective,
        preview=preview,
        family="var_depth",
        preset=recipe.model.preset,
        encoder="" if encoder is None else encoder.name,
        encoder_sha256="" if encoder is None else encoder_sha256(recipe.model.encoder),
        on_progress=objective.at,
    )


def _decoded(tokenizer: VQVAE, f_hat_BCHW: Tensor, curve: str, *, like: Tensor) -> Tensor:
    """ln(metres + 1) [B,H,W], up to scale and shift, at the size of the photos `like`."""
    from nearfar.geometry.depth_curves import decode_depth
    from nearfar.geometry.resize import resize

    grey_B1HW = tokenizer.decode(f_hat_BCHW).mean(dim=1, keepdim=True)
    depth_BHW, kind = decode_depth(grey_B1HW, curve=curve)
    depth_BHW = resize(depth_BHW, (like.shape[-2], like.shape[-1]), method="bilinear")
    # the other kinds know no metres: as if the far end were at 10 m
    return depth_BHW if kind == "affine_log_depth" else torch.log1p(10 * depth_BHW)


def preset_of(presets: Mapping[str, Any], recipe: Recipe) -> Any:
    """The config that model.preset names."""
    name = recipe.model.preset
    if name not in presets:
        raise ConfigError("model.preset", f"unknown {name!r}", f"Use one of {', '.join(presets)}")
    return presets[name]


_NOT_OPTIONS = ("network", "encoder", "curves")


def checked_options(objective: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """The [train.objective] table, each key a named parameter of the objective."""
    known = [n for n in inspect.signature(objective).parameters if n not in _NOT_OPTIONS]
    for key in options:
        if key not in known:
            near = get_close_matches(key, known, n=1, cutoff=0.4)
            hint = f"Did you mean {near[0]}?" if near else f"Known: {', '.join(known) or 'none'}"
            raise ConfigError(f"train.objective.{key}", "unknown key", hint)
    return dict(options)


TARGETS: dict[str, TargetBuilder] = {
    "tiny_encoder": _tiny_encoder,
    "photo_encoder": _photo_encoder,
    "tiny_video_encoder": tiny_video_encoder,
    "ppd": _ppd,
    "ppd_video": ppd_video,
    "dar": _dar,
    "depthart": _depthart,
    "depth_var": _depth_var,
    "var_depth": _var_depth,
    "var_depth_upsampler": var_depth_upsampler,
    "depth_tokenizer": depth_tokenizer,
}
