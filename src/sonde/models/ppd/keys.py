"""Tensor names of published PPD files (spec ppd.md section 13), as pure tables.

Our attribute names are the published ones, so only what wraps them differs: the dictionary may
lie under one of `NESTS`, and every name may carry several of `PREFIXES`. Names that are no tensor
of the network (a `sem_encoder.` saved along) have no name here: `our_name` gives None.
"""

from __future__ import annotations

from .config import PPDConfig

NESTS = ("state_dict", "model")
PREFIXES = ("pipeline.", "module.", "dit.")
VIDEO_PREFIX = "dit_video."  # a file of the video network, not of this one

_SHARED = ("x_embedder.", "t_embedder.", "blocks.", "proj_fusion.", "final_layer.")


def our_name(published: str) -> str | None:
    """The name in our state dict, None for a tensor that is not the image network's."""
    name = published
    while prefix := next((p for p in PREFIXES if name.startswith(p)), ""):
        name = name.removeprefix(prefix)
    return name if name.startswith(_SHARED) else None


def expected_shapes(config: PPDConfig) -> dict[str, tuple[int, ...]]:
    """Every tensor name of a network of these sizes with its shape."""
    width, head, patch = config.width, config.head_width, config.coarse_patch
    hidden, fine = config.mlp_ratio * width, 4 * width
    shapes: dict[str, tuple[int, ...]] = {}

    def linear(name: str, rows: int, *columns: int) -> None:
        shapes[f"{name}.weight"], shapes[f"{name}.bias"] = (rows, *columns), (rows,)

    linear("x_embedder.proj", width, 4, patch, patch)
    linear("t_embedder.mlp.0", width, 256)
    linear("t_embedder.mlp.2", width, width)
    for index in range(config.depth):
        block = f"blocks.{index}"
        linear(f"{block}.attn.qkv", 3 * width, width)
        for norm in ("q_norm", "k_norm"):
            linear(f"{block}.attn.{norm}", head)
        linear(f"{block}.attn.proj", width, width)
        linear(f"{block}.mlp.fc1", hidden, width)
        linear(f"{block}.mlp.fc2", width, hidden)
        linear(f"{block}.adaLN_modulation.1", 6 * width, width)
    linear("proj_fusion.0", fine, width + config.semantics_width)
    linear("proj_fusion.2", fine, fine)
    linear("proj_fusion.4", fine, fine)
    linear("final_layer.linear", config.patch_size**2, width)
    linear("final_layer.adaLN_modulation.1", 2 * width, width)
    return shapes
