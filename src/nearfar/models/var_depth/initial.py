"""Fresh weights of a VAR-Depth network.

Linears of the transformer: normal within two deviations s = (3 D)^-1/2; those that write to the
stream s / sqrt(2 depth), modulation s / 2, head s / 50. The gates of self-attention and FFN start
at a constant (trained from scratch; a gate near 0 learns slowly), as does the gain of the
ungated cross-attention. Last Linear of each condition MLP: N(0, 0.02). Whatever places the photo
starts at 0, so does the last convolution of our second stage. Crop frequencies and null tokens:
N(0, 1). Convolutions and the rest: uniform in +-1/sqrt(fan in).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .config import VarDepthConfig
from .network import VarDepthNetwork

GATE = 0.5
_ZEROS = ("ladder.into", "concat.weight_DC", "crop_cond_scales", "gain_KC", "shift_KC")
_NORMALS = ("crop_embed.weight", "null_context_D", "null_pooled_D", "learned_MD", "global_D")
_CONSTANTS = {"alpha_logit": 0.1, "beta_logit": 0.1, "prefix_delta_logit": -2.0}


def new_network(config: VarDepthConfig, *, generator: torch.Generator) -> VarDepthNetwork:
    """A float32 network on the CPU with fresh weights, those of the tokenizer included."""
    with torch.device("meta"):  # so that no module draws from torch's global generator
        network = VarDepthNetwork(config)
    network.to_empty(device="cpu")
    init_weights(network, generator=generator)
    return network


@torch.no_grad()
def init_weights(network: VarDepthNetwork, *, generator: torch.Generator) -> None:
    """Set every weight."""
    for name, value in network.named_parameters():
        _draw(name, value, network.config, generator)
    for name, buffer in network.named_buffers():
        assert "prompt." in name or name.endswith("hits_V")
        buffer.zero_()
    gates = slice(0, 2 * network.config.width)
    for name, value in network.transformer.blocks.named_parameters():
        if name.endswith("ada_lin.1.weight"):
            value[gates] *= 2e-3
        elif name.endswith("ada_lin.1.bias"):
            value[gates] = GATE
        elif name.endswith("cross_attention_norm2.weight"):
            value.fill_(GATE)
    if network.upsampler is not None and network.upsampler.is_residual:
        network.upsampler.unet.conv_out.weight.zero_()


def _draw(name: str, value: Tensor, config: VarDepthConfig, generator: torch.Generator) -> None:
    s = (3 * config.width) ** -0.5
    last = name.rpartition(".")[2]
    if last in _CONSTANTS:
        value.fill_(_CONSTANTS[last])
    elif name.endswith(_ZEROS) or last == "bias":
        value.zero_()
    elif name.endswith(_NORMALS):
        value.normal_(generator=generator)
    elif last == "weight" and value.ndim == 1:
        value.fill_(1.0)  # gains of norms
    elif last in ("static_prefix_KMD", "prefix_context_basis") or name.endswith("mlp.2.weight"):
        value.normal_(std=0.02, generator=generator)
    elif value.ndim == 4 or not name.startswith("transformer."):
        bound = value[0].numel() ** -0.5
        value.uniform_(-bound, bound, generator=generator)
    else:
        std = s
        if name.endswith((".proj.weight", "ffn.fc2.weight", "down_proj.weight")):
            std = s / (2 * config.depth) ** 0.5
        elif name == "transformer.head.weight":
            std = s / 50
        elif "ada_lin" in name:
            std = s / 2
        nn.init.trunc_normal_(value, std=std, a=-2 * std, b=2 * std, generator=generator)
