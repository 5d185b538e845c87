"""Tensor names of the public DAR code (docs/dar.md section 9), as pure tables.

No checkpoint was published; the names are those its training would write, under `model` and with
`module.` before each. Some of its weights are in no forward pass: `is_dead` knows them, and
`dead_shapes` counts them, so that a conversion can say what it leaves out.
"""

from __future__ import annotations

import logging
from math import prod

from nearfar.family import Recognized, ReleasedFile
from nearfar.layers.without_memory import without_memory

from .config import DARConfig
from .network import DARNetwork
from .presets import PRESETS

log = logging.getLogger(__name__)

NESTS = ("state_dict", "model")
PREFIXES = ("module.",)
RENAMED = {
    "decoder.update.encoder.": "bin_projection.",
    "decoder.update.p_head.": "probability.",
    "decoder.update.gru.": "gru.",
    "decoder.update.decoder.": "token_decoder.",
    "decoder.update.transdecoder.": "transformer.",
    "decoder.update.query_tokens": "query_tokens",
    "encoder.": "encoder.",
}
DEAD = (
    "decoder.update.last_layer_depth.",
    "encoder.scratch.output_conv1.",
    "encoder.scratch.output_conv2.",
    "encoder.scratch.refinenet4.resConfUnit1.",
    "encoder.backbone.mask_token",
)


def our_name(published: str) -> str | None:
    """The name in our state dict; None for a dead or a foreign tensor."""
    name = _bare(published)
    if is_dead(name):
        return None
    return next((o + name.removeprefix(p) for p, o in RENAMED.items() if name.startswith(p)), None)


def is_dead(published: str) -> bool:
    """Whether the public code holds this tensor but never uses it; say so when it is dropped."""
    return _bare(published).startswith(DEAD)


def published_name(ours: str) -> str:
    """The public code's name of one of our tensors; ours unchanged where it has none."""
    return next((p + ours.removeprefix(o) for p, o in RENAMED.items() if ours.startswith(o)), ours)


def dead_shapes(config: DARConfig) -> dict[str, tuple[int, ...]]:
    """Every dead tensor of a network of these sizes with its shape; empty without a ViT.

    12 channels between the output convolutions follow from the released total of parameters.
    """
    if config.vit is None:
        return {}
    hidden, width = config.hidden_width, config.context_width
    shapes: dict[str, tuple[int, ...]] = {DEAD[4]: (1, config.vit.width)}

    def conv(name: str, out: int, inputs: int, kernel: int) -> None:
        shapes[f"{name}.weight"], shapes[f"{name}.bias"] = (out, inputs, kernel, kernel), (out,)

    conv(f"{DEAD[0]}0", hidden, hidden, 3)
    conv(f"{DEAD[0]}2", 1, hidden, 3)
    conv(DEAD[1][:-1], width // 2, width, 3)
    conv(f"{DEAD[2]}0", 12, width // 2, 3)
    conv(f"{DEAD[2]}2", 1, 12, 1)
    for name in ("conv1", "conv2"):
        conv(f"{DEAD[3]}{name}", width, width, 3)
    return shapes


def dead_parameters(config: DARConfig) -> int:
    """How many parameters of the public code we leave out."""
    return sum(prod(shape) for shape in dead_shapes(config).values())


def _bare(name: str) -> str:
    while prefix := next((p for p in PREFIXES if name.startswith(p)), ""):
        name = name.removeprefix(prefix)
    return name


def read_released(file: ReleasedFile) -> Recognized:
    """A checkpoint of the public DAR code: the preset whose names and shapes it has.

    No tensor tells the nearest and farthest metres: those of the preset are taken.
    """
    names = {name: our_name(name) for name in file.tensors}
    tensors = {ours: file.tensors[name] for name, ours in names.items() if ours is not None}
    dropped = [name for name, ours in names.items() if ours is None]
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    for config in PRESETS.values():
        expected = without_memory(DARNetwork, config).state_dict()
        if shapes == {name: tensor.shape for name, tensor in expected.items()}:
            log.warning(
                "%s: no tensor tells its range; taken as %g..%g m",
                file.path,
                config.near,
                config.far,
            )
            return Recognized(kind="dar", config=config, tensors=tensors, dropped=dropped)
    return Recognized(
        kind="dar",
        config=PRESETS["released"],
        tensors=tensors,
        dropped=dropped,
        remedy=f"A checkpoint of another preset; known sizes: {', '.join(PRESETS)}",
    )
