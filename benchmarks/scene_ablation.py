"""What each group of additions to scenes and augmentation is worth, at equal training time.

    python benchmarks/scene_ablation.py --quick
    python benchmarks/scene_ablation.py --seconds 240 --seeds 3 --compile --pairs FOLDER

A tiny encoder is trained from nothing on every variant (one group switched off, the rest on) for
the same processor seconds (on CUDA: seconds), several seeds each, as recipes/tiny_encoder.toml
does (Muon). Rendering is done before and not counted. AbsRel after a fit in ln(metres + 1), on
held-out rendered scenes with everything on, and on real pairs if given (folder as for
quality_tiny.py). `loss` is the variant's AbsRel minus that of "all" with the same seed: above 0 =
the group helped; smaller than its deviation over seeds = nothing is shown.
Every run is written at once; the same command goes on where it ended, more seeds or variants are
added to what is there.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from encoder_training import (
    SIZE,
    Job,
    add_arguments,
    baselines,
    common_settings,
    judge,
    judged_sets,
    pool,
    predictor,
    train,
)
from ledger import Ledger
from stamp import RESULTS

from nearfar.data.augment import AugmentOptions
from nearfar.encoders.tiny import PRESETS
from nearfar.settings import keep_freed_memory


class Variant(NamedTuple):
    """Options that differ from the defaults."""

    scenes: dict[str, float]
    augment: dict[str, float]


ALL = "all"
VARIANTS = {
    ALL: Variant({}, {}),
    "no close views": Variant({"floor": 0.0, "desk": 0.0}, {}),
    "no clutter": Variant({"clutter": 0.0}, {}),
    "no prints": Variant({"prints": 0.0}, {}),
    "no natural albedo": Variant({"albedo": 0.0}, {}),
    "no soft lights": Variant({"lights": 0.0}, {}),
    "no sensor": Variant({"sensor": 0.0}, {}),
    "no random filter": Variant({}, {"random_filter": 0.0}),
    "no fourier": Variant({}, {"fourier": 0.0}),
    "no flatten, erase": Variant({}, {"flatten": 0.0, "erase": 0.0}),
    "no strong color": Variant({}, {"strong": 0.0}),
    "no rotation": Variant({}, {"rotate": 0.0}),
}
QUICK = (ALL, "no prints", "no random filter")


def main() -> None:
    chosen = arguments()
    torch.set_num_threads(chosen.threads)
    keep_freed_memory()
    settings = common_settings(chosen) | {"preset": chosen.preset, "seconds": chosen.seconds}
    ledger = Ledger("scene_ablation", chosen.output, settings)
    run(chosen, ledger)


def run(chosen: argparse.Namespace, ledger: Ledger) -> dict[str, object]:
    """Train and judge what the ledger lacks; a line after each variant. The whole record."""
    sets = judged_sets(chosen)
    rivals = baselines(sets)
    for name, rows in rivals.items():
        print(line(name, {"abs_rel": {s: {"mean": r["abs_rel"]} for s, r in rows.items()}}))
    names = QUICK if chosen.quick else tuple(chosen.variants or VARIANTS)
    for name in sorted(names, key=lambda name: name != ALL):
        variant = VARIANTS[name]
        todo = [seed for seed in range(chosen.seeds) if not ledger.has(name, seed)]
        shards = pool(chosen, variant.scenes) if todo else None
        for seed in todo:
            assert shards is not None
            job = Job(
                network=PRESETS[chosen.preset],
                augment=replace(AugmentOptions(), **variant.augment),  # type: ignore[arg-type]
                seconds=chosen.seconds,
                batch=chosen.batch,
                scenes=chosen.scenes,
            )
            (done,) = train(job, shards, seed=seed, device=chosen.device)
            scores = judge(predictor(done.network), sets)
            ledger.put(name, seed, {"scores": scores, "samples": done.samples})
            ledger.write({"baselines": rivals, "variants": summary(ledger.runs)})
        print(line(name, summary(ledger.runs)[name]), flush=True)
    return ledger.write({"baselines": rivals, "variants": summary(ledger.runs)})


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    """The command line, `size` added."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_arguments(parser)
    parser.add_argument("--variants", nargs="*", choices=tuple(VARIANTS))
    parser.add_argument("--preset", choices=tuple(PRESETS), default="tiny")
    parser.add_argument("--seconds", type=float, default=240.0)
    parser.add_argument("--seeds", type=int, default=3)
    chosen = parser.parse_args(words)
    chosen.size = SIZE
    if chosen.quick:
        small = {"preset": "micro", "seconds": 2.0, "seeds": 2, "scenes": 32, "held_out": 8}
        vars(chosen).update(small, size=(48, 64))
    elif chosen.output is None:
        chosen.output = RESULTS / "scene_ablation.json"
    return chosen


def summary(runs: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """By variant and set: AbsRel over seeds, and how much more than "all" with the same seed."""
    reference = runs.get(ALL, {})
    table: dict[str, Any] = {}
    for name, by_seed in runs.items():
        sets = next(iter(by_seed.values()))["scores"]
        table[name] = {
            "samples": [run["samples"] for run in by_seed.values()],
            "abs_rel": {s: spread([_error(run, s) for run in by_seed.values()]) for s in sets},
        }
        paired = [(run, reference[seed]) for seed, run in by_seed.items() if seed in reference]
        if paired and name != ALL:
            table[name]["loss"] = {
                s: spread([_error(run, s) - _error(whole, s) for run, whole in paired])
                for s in sets
            }
    return table


def spread(values: list[float]) -> dict[str, object]:
    """Mean, deviation over seeds (None for one) and the values."""
    deviation = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return {"mean": float(np.mean(values)), "deviation": deviation, "values": values}


def _error(run: Mapping[str, Any], set_name: str) -> float:
    return float(run["scores"][set_name]["abs_rel"])


def line(name: str, row: Mapping[str, Any]) -> str:
    """One variant for people."""
    cells = []
    for set_name, found in row["abs_rel"].items():
        cells.append(f"{set_name} {_number(found, '.4f')}")
        if "loss" in row:
            cells.append(f"loss {_number(row['loss'][set_name], '+.4f')}")
    samples = f"  samples {row['samples']}" if "samples" in row else ""
    return f"{name:20} {'  '.join(cells)}{samples}"


def _number(found: Mapping[str, Any], form: str) -> str:
    deviation = found.get("deviation")
    return f"{found['mean']:{form}}" + ("" if deviation is None else f" +- {deviation:.4f}")


if __name__ == "__main__":
    main()
