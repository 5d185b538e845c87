"""DAR's steps with a key-value cache against all tokens again, and bfloat16 against float32.

    python benchmarks/dar.py [--preset small] [--repeats 2] [--threads 1] [--store]

One photo of 480x640, random weights, all ways turn by turn in one process:
cached      every step runs its own tokens; keys and values of earlier ones and of the photo's
            memory are kept (under the patch-wise causal mask this changes nothing)
recomputed  every step runs all tokens so far under the mask, and projects the memory again, as the
            public code does
Times are of the K steps (transformer, bins, ConvGRU) after the photo was encoded; the time of the
encoder, which is the same for all ways, is taken once. Prints a table, the share of the measured
matmul limit and one JSON line; --store writes benchmarks/results/dar.json. Seconds printed are of
the processor. `small` needs about 6 GB; what would need more than 12 GB is refused.
"""

from __future__ import annotations

import argparse
import copy
import resource
import statistics
import time
from functools import partial

import torch
from stamp import RESULTS, store
from stopwatch import Seconds, timed
from torch import Tensor

from nearfar.models.dar.network import DARNetwork, new_network
from nearfar.models.dar.photo_encoder import Encoded
from nearfar.models.dar.presets import PRESETS
from nearfar.models.dar.sample import sample_steps
from nearfar.models.dar.transformer import RecomputedRun
from nearfar.settings import keep_freed_memory, set_threads

GOAL = 2.0
SIZE_HW = (480, 640)
MOST_GB = 12.0
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def main() -> None:
    options = read_options()
    keep_freed_memory()
    set_threads(options.threads)
    with torch.device("meta"):
        count = sum(p.numel() for p in DARNetwork(PRESETS[options.preset]).parameters())
    needed_gb = count * 8 / 1e9 + 2.5  # float32, bfloat16, its making, activations
    if needed_gb > MOST_GB:
        raise SystemExit(f"{options.preset} needs about {needed_gb:.0f} GB, more than {MOST_GB}")
    network = new_network(
        PRESETS[options.preset], generator=torch.Generator().manual_seed(0)
    ).eval()
    image_B3HW = torch.rand(1, 3, *SIZE_HW, generator=torch.Generator().manual_seed(1))
    turns: dict[str, list[Seconds]] = {}
    depths: dict[str, Tensor] = {}
    with torch.inference_mode():
        networks = {"fp32": network, "bf16": copy.deepcopy(network).bfloat16()}
        photos: dict[str, Encoded] = {}
        for dtype, net in networks.items():
            photos[dtype], seconds = timed(partial(net.encode, image_B3HW.to(DTYPES[dtype])))
            note(turns, f"encoder {dtype}", seconds, 1)
        for turn in range(options.repeats + 1):
            for dtype, net in networks.items():
                for way in ("recomputed", "cached"):
                    work = partial(last_depth, net, photos[dtype], way)
                    depths[f"{way} {dtype}"], seconds = timed(work)
                    note(turns, f"{way} {dtype}", seconds, turn)
    limits = {name: matmul_limit(dtype) for name, dtype in DTYPES.items()}
    flops = step_flops(network, memory=photos["fp32"].memory_BMD.shape[1])
    record = summary(turns, depths, flops=flops, limits=limits)
    record |= {"processor_seconds": round(time.process_time(), 1)}
    record |= {"preset": options.preset, "size": list(SIZE_HW), "parameters": count}
    print_table(record)
    store("dar", record, path=RESULTS / "dar.json" if options.store else None)


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="small", choices=sorted(set(PRESETS) - {"released"}))
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--store", action="store_true", help="write benchmarks/results/dar.json")
    return parser.parse_args()


def last_depth(network: DARNetwork, encoded: Encoded, way: str) -> Tensor:
    """Depth after the last step, the transformer run one way or the other."""
    sizes_hw = network.sizes(network.padded_size(SIZE_HW))
    if way == "recomputed":
        memory_BMD, transformer = encoded.memory_BMD, network.transformer
        again = RecomputedRun(transformer, memory_BMD, sizes_hw=sizes_hw, is_masked=True)
        network.__dict__["begin"] = lambda *_: again
    try:
        steps = sample_steps(network, encoded, sizes_hw, stop_at=len(sizes_hw))
    finally:
        network.__dict__.pop("begin", None)
    return steps[-1].depth_B1hw


def note(turns: dict[str, list[Seconds]], name: str, seconds: Seconds, turn: int) -> None:
    print(f"turn {turn}: {name} {seconds.cpu:.2f} s", flush=True)
    if turn:  # the first turn warms up
        turns.setdefault(name, []).append(seconds)


def step_flops(network: DARNetwork, *, memory: int) -> dict[str, float]:
    """Multiply-adds times two of the transformer's matrices and of the ConvGRU, per way."""
    config = network.config
    sizes_hw = network.sizes(network.padded_size(SIZE_HW))
    counts = [h * w for h, w in sizes_hw]
    kv = sum(block.cross_attn.kv.weight.numel() for block in network.transformer.mid_block)
    matrices = sum(p.numel() for p in network.transformer.parameters() if p.ndim == 2) - kv
    grids = [network.bin_grid(sizes_hw, k) for k in range(len(counts))]
    pixels = sum(h * w for h, w in grids)
    convolved = (network.gru, network.probability, network.bin_projection)
    rest = pixels * sum(p.numel() for part in convolved for p in part.parameters())
    seen = [sum(counts[: k + 1]) for k in range(len(counts))]
    attended = sum(n * total for n, total in zip(counts, seen))
    width, blocks = 4 * config.width, config.layers
    cross = width * memory * blocks
    return {
        "cached": 2.0 * (matrices * sum(counts) + kv * memory + rest)
        + blocks * width * attended
        + cross * sum(counts),
        "recomputed": 2.0 * (matrices * sum(seen) + kv * memory * len(counts) + rest)
        + blocks * width * sum(n * n for n in seen)
        + cross * sum(seen),
    }


def matmul_limit(dtype: torch.dtype, size: int = 2048, repeats: int = 6) -> Seconds:
    """Seconds per FLOP of the best matmul of this machine now."""
    generator = torch.Generator().manual_seed(2)
    a, b = (torch.randn(size, size, generator=generator).to(dtype) for _ in range(2))
    times = [timed(lambda: a @ b)[1] for _ in range(repeats)]
    per_flop = 1 / (2 * size**3)
    return Seconds(min(t.wall for t in times) * per_flop, min(t.cpu for t in times) * per_flop)


def summary(
    turns: dict[str, list[Seconds]],
    depths: dict[str, Tensor],
    *,
    flops: dict[str, float],
    limits: dict[str, Seconds],
) -> dict[str, object]:
    def ratio(slow: str, fast: str, field: str) -> float:
        pairs = zip(turns[slow], turns[fast])
        return round(statistics.median(getattr(a, field) / getattr(b, field) for a, b in pairs), 3)

    def share(name: str, field: str) -> float:
        way, dtype = name.split()
        best = min(getattr(t, field) for t in turns[name])
        return round(flops[way] * getattr(limits[dtype], field) / best, 3)

    exact = depths["recomputed fp32"]
    steps = [name for name in turns if not name.startswith("encoder")]
    return {
        "seconds": {name: [round(t.wall, 3) for t in times] for name, times in turns.items()},
        "cpu_seconds": {name: [round(t.cpu, 3) for t in times] for name, times in turns.items()},
        "cache_speedup": {d: ratio(f"recomputed {d}", f"cached {d}", "wall") for d in DTYPES},
        "cache_speedup_cpu": {d: ratio(f"recomputed {d}", f"cached {d}", "cpu") for d in DTYPES},
        "goal": GOAL,
        "bf16_speedup": {w: ratio(f"{w} fp32", f"{w} bf16", "wall") for w in (*flops, "encoder")},
        "flops": flops,
        "matmul_limit_gflops": {d: round(1e-9 / limit.wall) for d, limit in limits.items()},
        "share_of_limit": {name: share(name, "wall") for name in steps},
        "share_of_limit_cpu": {name: share(name, "cpu") for name in steps},
        "largest_relative_difference": {
            name: float(f"{((depths[name] - exact).abs() / exact).max().item():.2g}")
            for name in steps
        },
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def print_table(record: dict) -> None:
    print(
        f"\n{record['preset']}, {record['parameters']:,} parameters, photo 480x640, one thread pool"
    )
    print(f"{'':18}{'best s':>9}{'median s':>10}{'of limit':>10}{'difference':>12}")
    for name, seconds in record["seconds"].items():
        share = record["share_of_limit"].get(name)
        difference = record["largest_relative_difference"].get(name)
        print(
            f"{name:18}{min(seconds):9.2f}{statistics.median(seconds):10.2f}"
            + (f"{share:10.0%}{difference:12.2g}" if share is not None else "")
        )
    print(f"cache: {record['cache_speedup']} times as fast (goal {GOAL})")
    print(f"bf16 over fp32: {record['bf16_speedup']}; peak {record['peak_memory_mb']} MB")
    print(f"{record['processor_seconds']:.0f} s of the processor in all\n")


if __name__ == "__main__":
    main()
