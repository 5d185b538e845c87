"""One forward of the full-size PPD network: ours in bfloat16 against straightforward autocast.

    python benchmarks/ppd_forward.py [--size 512] [--repeats 5] [--threads 2]

Both run the same random weights in the same process, turn by turn:
ours            nearfar.models.ppd with bfloat16 weights: contiguous tokens, fused modulation,
                rotary tables once per grid, blocked attention on CPUs without AMX
straightforward float32 weights under bfloat16 autocast, written as the paper reads: the token
                stream stays the transposed view that the patch convolution gives, shift and scale
                are separate operations, rotary tables are computed in every block
The autocast region stays open, so that its weights are cast once, in the warm-up. Prints a table,
the share of the measured bfloat16 matmul limit, and one JSON line; writes
benchmarks/results/ppd_forward.json. Needs about 6 GB.
"""

from __future__ import annotations

import argparse
import copy
import resource
import statistics
from pathlib import Path

import torch
from stamp import RESULTS, store
from stopwatch import Seconds, fastest, matmul_limit, timed
from torch import Tensor, nn
from torch.nn import functional as F

from nearfar.layers.adaln import AdaLNBlock
from nearfar.models.ppd.network import PPDNetwork, new_network
from nearfar.models.ppd.presets import PRESETS
from nearfar.settings import keep_freed_memory, set_threads

GOAL = 1.5


def main() -> None:
    options = read_options()
    keep_freed_memory()
    set_threads(options.threads)
    config = PRESETS[options.preset]
    plain = random_network(config)
    ours = copy.deepcopy(plain).to(torch.bfloat16)
    inputs = random_inputs(options.size, plain)
    limit = matmul_limit()
    turns: dict[str, list[Seconds]] = {"ours": [], "straightforward": []}
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        for turn in range(options.repeats + 1):
            slow, slow_time = timed(lambda: straightforward(plain, *inputs))
            with torch.autocast("cpu", enabled=False):
                fast, fast_time = timed(lambda: ours(*inputs, timestep=500))
            if turn:  # the first turn warms up both
                turns["ours"].append(fast_time)
                turns["straightforward"].append(slow_time)
                print(
                    f"turn {turn}: straightforward {slow_time.wall:.2f} s, "
                    f"ours {fast_time.wall:.2f} s",
                    flush=True,
                )
    difference = ((fast - slow).square().mean().sqrt() / slow.std()).item()
    flops = forward_flops(plain, options.size)
    record = summary(turns, flops=flops, limit=limit, difference=difference)
    record |= {"preset": options.preset, "size": options.size}
    print_table(record)
    store("ppd_forward", record, path=options.output)


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="large", choices=sorted(PRESETS))
    parser.add_argument("--size", type=int, default=512, help="side of the square photo, pixels")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--output", type=Path, default=RESULTS / "ppd_forward.json")
    return parser.parse_args()


def straightforward(
    network: PPDNetwork, latent_B1HW: Tensor, image_B3HW: Tensor, semantics_BLD: Tensor
) -> Tensor:
    """Velocity by the network's own float32 weights, the paper's steps written one by one."""
    p = network.config.coarse_patch
    h, w = latent_B1HW.shape[-2] // p, latent_B1HW.shape[-1] // p
    x_BCHW = torch.cat([latent_B1HW, image_B3HW - 0.5], dim=1)
    x_BLD = network.x_embedder.proj(x_BCHW).flatten(2).transpose(1, 2)
    time_BD = network.t_embedder(torch.full((len(x_BLD),), 500))
    half = len(network.blocks) // 2
    for block in network.blocks[:half]:
        x_BLD = plain_block(block, x_BLD, time_BD, (h, w))
    unit_BLD = F.normalize(semantics_BLD, dim=-1)
    x_BLD = network.proj_fusion(torch.cat([x_BLD, unit_BLD], dim=-1))
    x_B22Dhw = x_BLD.transpose(1, 2).unflatten(1, (2, 2, -1)).unflatten(-1, (h, w))
    x_BDHW = x_B22Dhw.permute(0, 3, 4, 1, 5, 2).reshape(len(x_BLD), -1, 2 * h, 2 * w)
    x_BLD = x_BDHW.flatten(2).transpose(1, 2)
    for block in network.blocks[half:]:
        x_BLD = plain_block(block, x_BLD, time_BD, (2 * h, 2 * w))
    shift_BD, scale_BD = network.final_layer.adaLN_modulation(time_BD).chunk(2, dim=-1)
    x_BLD = network.final_layer.linear(plain_modulate(x_BLD, shift_BD, scale_BD))
    f = network.config.patch_size
    x_Bhwff = x_BLD.view(-1, 2 * h, 2 * w, f, f)
    return torch.einsum("bhwyx->bhywx", x_Bhwff).reshape(-1, 1, 2 * h * f, 2 * w * f).float()


def plain_block(
    block: AdaLNBlock, x_BLD: Tensor, time_BD: Tensor, grid_hw: tuple[int, int]
) -> Tensor:
    parts = block.adaLN_modulation(time_BD).chunk(6, dim=-1)
    shift1_BD, scale1_BD, gate1_BD, shift2_BD, scale2_BD, gate2_BD = parts
    attended_BLD = plain_attention(block.attn, plain_modulate(x_BLD, shift1_BD, scale1_BD), grid_hw)
    x_BLD = x_BLD + gate1_BD.unsqueeze(1) * attended_BLD
    return x_BLD + gate2_BD.unsqueeze(1) * block.mlp(plain_modulate(x_BLD, shift2_BD, scale2_BD))


def plain_modulate(x_BLD: Tensor, shift_BD: Tensor, scale_BD: Tensor) -> Tensor:
    normal_BLD = F.layer_norm(x_BLD, x_BLD.shape[-1:], eps=1e-6)
    return normal_BLD * (1 + scale_BD.unsqueeze(1)) + shift_BD.unsqueeze(1)


def plain_attention(attn: nn.Module, x_BLD: Tensor, grid_hw: tuple[int, int]) -> Tensor:
    B, L, D = x_BLD.shape
    qkv_3BNLE = attn.qkv(x_BLD).reshape(B, L, 3, attn.heads, -1).permute(2, 0, 3, 1, 4)
    q_BNLE, k_BNLE, v_BNLE = qkv_3BNLE.unbind(0)
    q_BNLE = plain_rope(attn.q_norm(q_BNLE), grid_hw)
    k_BNLE = plain_rope(attn.k_norm(k_BNLE), grid_hw)
    x_BNLE = F.scaled_dot_product_attention(q_BNLE, k_BNLE, v_BNLE)
    return attn.proj(x_BNLE.transpose(1, 2).reshape(B, L, D))


def plain_rope(x_BNLE: Tensor, grid_hw: tuple[int, int]) -> Tensor:
    h, w = grid_hw
    half = x_BNLE.shape[-1] // 2
    frequency = 100.0 ** (-torch.arange(0, half, 2).float() / half)
    rows_L, columns_L = torch.arange(h).repeat_interleave(w), torch.arange(w).repeat(h)
    turned = []
    for place_L, part_BNLE in zip((rows_L, columns_L), x_BNLE.chunk(2, dim=-1)):
        angle_LE = torch.outer(place_L.float(), frequency).repeat(1, 2)
        u_BNLE, v_BNLE = part_BNLE.chunk(2, dim=-1)
        swapped_BNLE = torch.cat([-v_BNLE, u_BNLE], dim=-1)
        turned.append(part_BNLE * angle_LE.cos() + swapped_BNLE * angle_LE.sin())
    return torch.cat(turned, dim=-1).to(x_BNLE.dtype)


def random_network(config: object) -> PPDNetwork:
    """Fresh weights; those that start at zero get small random values too."""
    generator = torch.Generator().manual_seed(0)
    network = new_network(config, generator=generator).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            if not parameter.any():
                parameter.normal_(std=0.02, generator=generator)
    return network


def random_inputs(side: int, network: PPDNetwork) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    tokens = (side // network.config.coarse_patch) ** 2
    return (
        torch.randn(1, 1, side, side, generator=generator),
        torch.rand(1, 3, side, side, generator=generator),
        torch.randn(1, tokens, network.config.semantics_width, generator=generator),
    )


def forward_flops(network: PPDNetwork, side: int) -> float:
    """Multiply-adds times two of the block linears, attention and fusion (performance.md A2)."""
    config = network.config
    coarse = (side // config.coarse_patch) ** 2
    linear = (8 + 4 * config.mlp_ratio) * config.width**2
    blocks = sum(
        config.depth // 2 * (linear * n + 4 * n * n * config.width) for n in (coarse, 4 * coarse)
    )
    fusion = sum(2 * coarse * layer.weight.numel() for layer in network.proj_fusion[::2])
    return float(blocks + fusion)


def summary(
    turns: dict[str, list[Seconds]], *, flops: float, limit: Seconds, difference: float
) -> dict[str, object]:
    pairs = list(zip(turns["straightforward"], turns["ours"]))
    best = {name: fastest(times) for name, times in turns.items()}
    return {
        "seconds": {name: [round(t.wall, 3) for t in times] for name, times in turns.items()},
        "cpu_seconds": {name: [round(t.cpu, 3) for t in times] for name, times in turns.items()},
        "speedup_median": round(statistics.median(a.wall / b.wall for a, b in pairs), 3),
        "speedup_of_best": round(best["straightforward"].wall / best["ours"].wall, 3),
        "speedup_cpu_median": round(statistics.median(a.cpu / b.cpu for a, b in pairs), 3),
        "goal": GOAL,
        "flops": flops,
        "matmul_limit_gflops": round(1e-9 / limit.wall),
        "matmul_limit_gflops_per_cpu_second": round(1e-9 / limit.cpu),
        "share_of_limit": {n: round(flops * limit.wall / s.wall, 3) for n, s in best.items()},
        "share_of_limit_cpu": {n: round(flops * limit.cpu / s.cpu, 3) for n, s in best.items()},
        "relative_rms_difference": round(difference, 5),
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def print_table(record: dict) -> None:
    print(f"\n{record['preset']} at {record['size']}x{record['size']}, one forward")
    print(
        f"{'':18}{'best s':>8}{'median s':>10}{'GFLOP/s':>9}{'of limit':>10}"
        f"{'CPU s':>8}{'of limit':>10}"
    )
    for name, seconds in record["seconds"].items():
        best = min(seconds)
        rate, share = record["flops"] / best / 1e9, record["share_of_limit"][name]
        cpu, cpu_share = min(record["cpu_seconds"][name]), record["share_of_limit_cpu"][name]
        print(
            f"{name:18}{best:8.2f}{statistics.median(seconds):10.2f}{rate:9.0f}{share:10.0%}"
            f"{cpu:8.2f}{cpu_share:10.0%}"
        )
    print(
        f"speed-up {record['speedup_median']:.2f} (median of turns; "
        f"in CPU seconds {record['speedup_cpu_median']:.2f}), goal {GOAL}"
    )
    print(f"bfloat16 matmul limit {record['matmul_limit_gflops']} GFLOP/s")
    print(f"relative RMS difference of the outputs {record['relative_rms_difference']}")
    print(f"peak {record['peak_memory_mb']} MB\n")


if __name__ == "__main__":
    main()
