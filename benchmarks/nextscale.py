"""Next-scale inference of depth, our way against the straightforward one, in alternating turns.

Straightforward: float32, no cache: at every scale the photo, the start token and all scales so far
go through the masked transformer again, modulation Linears included. Ours: one prefill, keys and
values kept, no mask, modulation folded, matrices bfloat16. Random weights, greedy tokens; the
tokenizer's encoder and decoder, the same for both, are timed apart.

    python benchmarks/nextscale.py --preset depthart --repeats 3 --store
"""

from __future__ import annotations

import argparse
import copy
import resource
import statistics
from functools import partial
from typing import Any

import torch
from stamp import RESULTS, store
from stopwatch import Seconds, fastest, matmul_limit, timed
from torch import Tensor

from nearfar.models.depthart.network import DepthARTNetwork, fold_modulation, new_network
from nearfar.models.depthart.presets import PRESETS
from nearfar.models.depthart.sample import Greedy, sample_f_hat
from nearfar.settings import keep_freed_memory, set_threads
from nearfar.tokenizers.quantizer import as_map

GOAL = 4.0


def main() -> None:
    options = read_options()
    keep_freed_memory()
    set_threads(options.threads)
    plain = random_network(options.preset)
    photo_BMC = photo_vectors(plain)
    with torch.no_grad():
        decode = timed(lambda: plain.tokenizer.decode(torch.zeros(1, *feature_shape(plain))))[1]
        exact = straightforward(plain, photo_BMC)  # warms up, as do the next two
        difference = (run_ours(fold_modulation(plain), photo_BMC) - exact).abs().max()
        ours = half_matrices(plain)
        run_ours(ours, photo_BMC)
        limit, turns = matmul_limit(), {"straightforward": [], "ours": []}
        for turn in range(options.repeats):
            slow, slow_time = timed(lambda: straightforward(plain, photo_BMC))
            fast, fast_time = timed(lambda: run_ours(ours, photo_BMC))
            turns["straightforward"].append(slow_time)
            turns["ours"].append(fast_time)
            print(
                f"turn {turn + 1}: {slow_time.wall:.2f} s, ours {fast_time.wall:.2f} s", flush=True
            )
        samples = {
            str(count): round(timed(partial(run_ours, ours, photo_BMC, count=count))[1].wall, 3)
            for count in (1, 4)
        }
    record = summary(turns, flops=cached_flops(plain), limit=limit)
    record |= {
        "preset": options.preset,
        "float32_max_difference": float(difference),
        "relative_rms_difference": round(
            float((fast - slow).square().mean().sqrt() / slow.std()), 4
        ),
        "seconds_by_samples": samples,
        "decode_seconds": round(decode.wall, 3),
        "cache_mb": cache_megabytes(plain),
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }
    print_table(record)
    store("nextscale", record, path=RESULTS / "nextscale.json" if options.store else None)


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="depthart", choices=sorted(PRESETS))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--store", action="store_true", help="write results/nextscale.json")
    return parser.parse_args()


def random_network(preset: str) -> DepthARTNetwork:
    """Fresh weights; the head is made louder, so that tokens differ."""
    network = new_network(PRESETS[preset], generator=torch.Generator().manual_seed(0)).eval()
    with torch.no_grad():
        network.transformer.head.weight *= 50
    return network.requires_grad_(False)


def half_matrices(plain: DepthARTNetwork) -> DepthARTNetwork:
    """Ours: folded, with bfloat16 matrices of its own."""
    folded = fold_modulation(copy.deepcopy(plain))
    folded.transformer.cast(torch.bfloat16)
    return folded


def photo_vectors(network: DepthARTNetwork) -> Tensor:
    """Random photo tokens, as the tokenizer or the encoder would give them."""
    config = network.config
    width = config.tokenizer.code_width if config.prefix == "tokenizer" else config.semantics_width
    generator = torch.Generator().manual_seed(1)
    return torch.randn(1, network.prefix_count, width, generator=generator)


def feature_shape(network: DepthARTNetwork) -> tuple[int, int, int]:
    vq = network.config.tokenizer
    return vq.code_width, vq.grid, vq.grid


def run_ours(network: DepthARTNetwork, photo_BMC: Tensor, *, count: int = 1) -> Tensor:
    generators = [torch.Generator()] * count
    return sample_f_hat(network, network.begin(photo_BMC), choose=Greedy(), generators=generators)


def straightforward(network: DepthARTNetwork, photo_BMC: Tensor) -> Tensor:
    """f_hat by running the whole sequence so far, under its mask, at every scale."""
    quantizer, transformer = network.tokenizer.quantize, network.transformer
    scales, M = network.config.tokenizer.scales, network.prefix_count
    label = torch.tensor([transformer.unconditional])
    mask_LL = network.mask(torch.device("cpu"))
    x_BLD = torch.cat([network.embed_photo(photo_BMC), transformer.start(label)], dim=1)
    f_hat_BCHW = torch.zeros(1, *feature_shape(network))
    for scale, side in enumerate(scales):
        if scale > 0:
            inputs_BChw = quantizer.inputs_of_next_scale(f_hat_BCHW, scale=scale - 1)
            inputs_BLC = inputs_BChw.flatten(2).transpose(1, 2)
            tokens_BLD = transformer.embed(inputs_BLC, first=x_BLD.shape[1] - M)
            x_BLD = torch.cat([x_BLD, tokens_BLD], dim=1)
        L = x_BLD.shape[1]
        modulated = transformer.modulated(label)
        y_BLD = transformer(x_BLD, modulated, mask_LL=mask_LL[:L, :L])
        logits_BLV = transformer.logits(y_BLD[:, -side * side :], modulated)
        codes_BChw = as_map(quantizer.embed(logits_BLV.argmax(dim=-1)))
        f_hat_BCHW = quantizer.accumulate(f_hat_BCHW, codes_BChw, scale=scale)
    return f_hat_BCHW


def cached_flops(network: DepthARTNetwork) -> float:
    """Multiply-adds times two of block matrices, attention and head, every token once."""
    config, M = network.config, network.prefix_count
    D, seen, total = config.width, 0, 0.0
    areas = [side * side for side in config.tokenizer.scales]
    for new in [M + areas[0], *areas[1:]]:
        seen += new
        total += config.depth * ((8 + 4 * config.mlp_ratio) * D * D * new + 4 * D * new * seen)
    return total + 2 * D * config.tokenizer.codebook * sum(areas)


def cache_megabytes(network: DepthARTNetwork) -> float:
    config = network.config
    tokens = network.prefix_count + config.tokenizer.token_count
    return round(2 * 2 * config.depth * tokens * config.width / 1e6, 1)


def summary(turns: dict[str, list[Seconds]], *, flops: float, limit: Seconds) -> dict[str, Any]:
    pairs = list(zip(turns["straightforward"], turns["ours"]))
    best = fastest(turns["ours"])
    return {
        "seconds": {name: [round(t.wall, 3) for t in times] for name, times in turns.items()},
        "cpu_seconds": {name: [round(t.cpu, 3) for t in times] for name, times in turns.items()},
        "speedup_median": round(statistics.median(a.wall / b.wall for a, b in pairs), 3),
        "speedup_cpu_median": round(statistics.median(a.cpu / b.cpu for a, b in pairs), 3),
        "goal": GOAL,
        "flops": flops,
        "matmul_limit_gflops": round(1e-9 / limit.wall),
        "share_of_limit": round(flops * limit.wall / best.wall, 3),
        "share_of_limit_cpu": round(flops * limit.cpu / best.cpu, 3),
    }


def print_table(record: dict[str, Any]) -> None:
    print(f"\n{record['preset']}, one map, greedy, {record['flops'] / 1e9:.0f} GFLOP")
    for name, seconds in record["seconds"].items():
        cpu = min(record["cpu_seconds"][name])
        print(f"{name:18}{min(seconds):8.2f} s best{cpu:8.2f} CPU s")
    print(
        f"speed-up {record['speedup_median']:.2f} (in CPU seconds "
        f"{record['speedup_cpu_median']:.2f}), goal {GOAL}; "
        f"{record['share_of_limit_cpu']:.0%} of the bfloat16 matmul limit"
    )
    print(f"in float32 the results differ by {record['float32_max_difference']:.1e} at most")
    print(f"samples: {record['seconds_by_samples']} s; decode {record['decode_seconds']} s")
    print(f"cache {record['cache_mb']} MB, peak {record['peak_memory_mb']} MB\n")


if __name__ == "__main__":
    main()
