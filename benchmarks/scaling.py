"""Error against samples seen and model size: the measurement behind docs/scaling.md.

    python benchmarks/scaling.py --quick
    python benchmarks/scaling.py --samples 32768 --seeds 2 --scenes 24064 --pairs FOLDER --document
    python benchmarks/scaling.py --draw --document     # again from the stored numbers

Tiny encoders of several sizes are trained from nothing on the same cached scenes, as
recipes/tiny_encoder.toml does (Muon), and judged whenever the samples they saw are a power of two:
AbsRel and delta1 after a fit in ln(metres + 1) on held-out rendered scenes, and on real pairs if
given (folder as for quality_tiny.py), beside a ramp over image rows and a flat map. The rate stays
after the warm-up and weights are averaged over the last ninth of the steps, so that every point is
that of a run that could have ended there. `--samples` gives each size the same samples, `--seconds`
ends each after that much processor time as well. Runs are written one by one; the same command
goes on where it ended. `--document` puts table and picture into docs/scaling.md.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

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

from nearfar.data.scenes.shards import SceneShards
from nearfar.encoders.tiny import PRESETS, TinyEncoderConfig
from nearfar.settings import keep_freed_memory
from nearfar.viz.charts import Curve, curves_svg

DOCS = Path(__file__).parents[1] / "docs"
TINY, MICRO = PRESETS["tiny"], PRESETS["micro"]
SIZES = {
    "width x0.5": replace(TINY, widths=(24, 48, 96)),
    "width x1": TINY,
    "width x1.5": replace(TINY, widths=(72, 144, 288)),
    "width x1, 96x128": PRESETS["tiny_fine"],
}
QUICK = {
    "width x1": MICRO,
    "width x2": replace(MICRO, widths=(16, 32, 64)),
    "width x1, 40x56": replace(MICRO, area=40 * 56),
}
FIRST = 512  # samples at the first point
BEGIN, END = "<!-- scaling.py: begin -->", "<!-- scaling.py: end -->"


def main() -> None:
    chosen = arguments()
    if chosen.draw:
        record = json.loads(chosen.output.read_text(encoding="utf-8"))
    else:
        torch.set_num_threads(chosen.threads)
        keep_freed_memory()
        settings = common_settings(chosen) | {"samples": chosen.samples, "seconds": chosen.seconds}
        record = run(chosen, Ledger("scaling", chosen.output, settings))
    if chosen.output is not None:
        draw(record, chosen.pictures)
    if chosen.document:
        document(record, chosen.pictures.parent / "scaling.md")


def run(chosen: argparse.Namespace, ledger: Ledger) -> dict[str, Any]:
    """Train and judge what the ledger lacks, printing every point; the whole record."""
    sets = judged_sets(chosen)
    rivals = baselines(sets)
    for name, rows in rivals.items():
        print(f"{name:18} {_cells(rows)}")
    sizes = QUICK if chosen.quick else {name: SIZES[name] for name in chosen.sizes or SIZES}
    shards = pool(chosen)
    for seed in range(chosen.seeds):
        for name, config in sizes.items():
            if not ledger.has(name, seed):
                ledger.put(name, seed, one_run(chosen, config, shards, sets, seed, name))
                ledger.write({"baselines": rivals, "sizes": summary(ledger.runs)})
    return ledger.write({"baselines": rivals, "sizes": summary(ledger.runs)})


def one_run(
    chosen: argparse.Namespace,
    config: TinyEncoderConfig,
    shards: SceneShards,
    sets: Mapping[str, list[Any]],
    seed: int,
    name: str,
) -> dict[str, Any]:
    """Parameters, milliseconds of a photo, and a row for each point of the training."""
    job = Job(
        network=config,
        samples=chosen.samples,
        seconds=chosen.seconds or math.inf,
        batch=chosen.batch,
        scenes=chosen.scenes,
        falls=False,
    )
    points, network = [], None
    for done in train(job, shards, seed=seed, device=chosen.device, at=powers(chosen)):
        network = done.network
        scores = judge(predictor(network), sets)
        costs = {"samples": done.samples, "seconds": round(done.seconds, 1)}
        points.append(costs | {"scores": scores})
        print(f"{name:18} seed {seed}  {done.samples:7} samples  {_cells(scores)}", flush=True)
    assert network is not None
    parameters = sum(p.numel() for p in network.parameters())
    return {"parameters": parameters, "photo_ms": photo_ms(network), "points": points}


def powers(chosen: argparse.Namespace) -> list[int]:
    """Powers of two from FIRST (from two batches in a short run) up to the samples."""
    first = min(FIRST, 2 * chosen.batch)
    return [n for n in (2**k for k in range(40)) if first <= n <= chosen.samples]


def photo_ms(network: torch.nn.Module) -> float:
    """Processor milliseconds of one photo of the training size, the best of several."""
    photo_HW3 = np.zeros((*SIZE, 3), np.uint8)
    predict, best = predictor(network), math.inf  # type: ignore[arg-type]
    for _ in range(5):
        start = time.process_time()
        predict(photo_HW3)
        best = min(best, time.process_time() - start)
    return round(1000 * best, 2)


def summary(runs: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """By size: parameters, and means over seeds at every number of samples all of them reached."""
    table: dict[str, Any] = {}
    for name, by_seed in runs.items():
        ones = list(by_seed.values())
        reached = [{point["samples"]: point for point in one["points"]} for one in ones]
        shared = sorted(set.intersection(*(set(points) for points in reached)))
        points = [
            {"samples": n, "seconds": _mean([p[n]["seconds"] for p in reached])}
            | {"scores": _mean_scores([p[n]["scores"] for p in reached])}
            for n in shared
        ]
        costs = {key: ones[0][key] for key in ("parameters", "photo_ms")}
        table[name] = costs | {"seeds": len(ones), "points": points}
    return table


def _mean(values: Sequence[float]) -> float:
    return round(float(np.mean(values)), 5)


def _mean_scores(rows: Sequence[Mapping[str, Mapping[str, float]]]) -> dict[str, Any]:
    return {s: {m: _mean([row[s][m] for row in rows]) for m in rows[0][s]} for s in rows[0]}


def draw(record: Mapping[str, Any], folder: Path) -> list[Path]:
    """AbsRel over samples, a picture for each set: scaling.svg (rendered), scaling_pairs.svg."""
    paths = []
    for set_name in record["baselines"]["row ramp"]:
        curves = [curve(name, size["points"], set_name) for name, size in record["sizes"].items()]
        ends = [c.x_S for c in curves]
        x_S = np.array([min(x.min() for x in ends), max(x.max() for x in ends)])
        ramp = record["baselines"]["row ramp"][set_name]["abs_rel"]
        curves.append(Curve("row ramp", x_S, np.full(2, ramp), dashed=True))
        text = curves_svg(
            curves, x_label="samples", y_label=f"AbsRel, {set_name}", is_log2=True, legend="right"
        )
        path = folder / ("scaling.svg" if set_name == "rendered" else f"scaling_{set_name}.svg")
        folder.mkdir(parents=True, exist_ok=True)
        # as a file it needs a name space and a ground, which an HTML page gives by itself
        text = text.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
        text = text.replace("</title>", '</title>\n<rect width="100%" height="100%" fill="#fff"/>')
        path.write_text(text + "\n", encoding="utf-8")
        paths.append(path)
    return paths


def curve(name: str, points: Sequence[Mapping[str, Any]], set_name: str) -> Curve:
    """AbsRel of a size over samples."""
    x_S = np.array([point["samples"] for point in points], np.float64)
    return Curve(name, x_S, np.array([point["scores"][set_name]["abs_rel"] for point in points]))


def document(record: Mapping[str, Any], path: Path) -> None:
    """Put table and pictures between the marks of docs/scaling.md."""
    text = path.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    path.write_text(f"{before}{BEGIN}\n{markdown(record)}\n{END}{after}", encoding="utf-8")


def markdown(record: Mapping[str, Any]) -> str:
    """Pictures, then a row for each size at its last point and at half its samples."""
    sets = list(record["baselines"]["row ramp"])
    names = {"rendered": "scaling.svg"} | {s: f"scaling_{s}.svg" for s in sets if s != "rendered"}
    pictures = " ".join(f"![AbsRel over samples, {s}](images/{names[s]})" for s in sets)
    head = f"| size | parameters | ms a photo | samples | {' | '.join(sets)} | seconds |"
    lines = [pictures, "", head, "|" + "---|" * (5 + len(sets))]
    for name, size in record["sizes"].items():
        for point in size["points"][-2:]:
            cells = [f"{size['parameters']:,}", f"{size['photo_ms']:.1f}", f"{point['samples']}"]
            cells += [_pair(point["scores"][s]) for s in sets] + [f"{point['seconds']:.0f}"]
            lines.append(f"| {name} | {' | '.join(cells)} |")
    for name, rows in record["baselines"].items():
        lines.append(f"| {name} | | | | {' | '.join(_pair(rows[s]) for s in sets)} | |")
    seeds = max(size["seeds"] for size in record["sizes"].values())
    facts = f"{seeds} seed(s), commit {record['commit']}, {record['settings']['dtype']}"
    lines += ["", f"AbsRel / delta1; `{record['command']}`, {facts}, {record['machine']}."]
    return "\n".join(lines)


def _pair(row: Mapping[str, float]) -> str:
    return f"{row['abs_rel']:.3f} / {row['delta1']:.3f}"


def _cells(rows: Mapping[str, Mapping[str, float]]) -> str:
    return "  ".join(f"{name} {_pair(row)}" for name, row in rows.items())


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    """The command line, `size` added."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_arguments(parser)
    parser.add_argument("--sizes", nargs="*", choices=tuple(SIZES))
    parser.add_argument("--samples", type=int, default=32768, help="each size sees so many")
    parser.add_argument("--seconds", type=float, default=0.0, help="processor; 0 = no limit")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--draw", action="store_true", help="from stored numbers, no training")
    parser.add_argument("--document", action="store_true", help="write into docs/scaling.md")
    parser.add_argument("--pictures", type=Path, default=DOCS / "images", help=argparse.SUPPRESS)
    chosen = parser.parse_args(words)
    chosen.size = SIZE
    if chosen.quick:
        small = {"samples": 512, "seconds": 0.0, "seeds": 1, "scenes": 32, "held_out": 8}
        vars(chosen).update(small, size=(48, 64))
        if chosen.document:
            parser.error("--quick is not worth a document")
    elif chosen.output is None:
        chosen.output = RESULTS / "scaling.json"
    return chosen


if __name__ == "__main__":
    main()
