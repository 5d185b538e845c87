"""A finished evaluation of a few invented images, as `nearfar eval run` leaves it."""

import numpy as np

from nearfar.eval.results import (
    SAMPLES_FILE,
    SKIPPED,
    EvalResult,
    Preview,
    SampleRow,
    Summary,
    preview_path,
    save_preview,
    write_table,
)

NASTY = 'a<b>&"c"'
PROTOCOL = {"id": "synthetic", "version": 1, "hash": "0123456789abcdef", "status": "ours"}


def summary(values):
    mean = float(np.mean(values))
    return Summary(
        mean=mean,
        median=float(np.median(values)),
        std=float(np.std(values)),
        ci95=(mean - 0.01, mean + 0.01),
        n=len(values),
    )


def make_result(*, model="ppd-tiny", abs_rel=(0.1, 0.3), protocol=None, **more):
    """protocol: the table of the result; default: one that no file holds."""
    delta = [1 - 2 * v for v in abs_rel]
    fields = {
        "protocol": protocol or dict(PROTOCOL),
        "model": model if isinstance(model, dict) else {"name": model, "licence": "Apache-2.0"},
        "dataset": {"name": "rendered", "listed": len(abs_rel), "evaluated": len(abs_rel)},
        "settings": {"seed": 0, "steps": 4},
        "tool": {"version": "0.1.0", "commit": "abc1234"},
        "machine": {"processor": "made up", "threads": 1, "dtype": "float32"},
        "metrics": {"abs_rel": summary(abs_rel), "delta1": summary(delta)},
        "timing": {"seconds_median": 0.5, "peak_rss_mb": 700.0},
        "started": "2026-11-21T10:00:00+00:00",
        "finished": "2026-11-21T10:01:00+00:00",
    }
    return EvalResult(**(fields | more))


def make_run(folder, *, values=(0.1, 0.3, 0.2, 0.05), with_uncertainty=True, **more):
    """Write result, table and previews; the last sample of the table has no score."""
    folder.mkdir(parents=True, exist_ok=True)
    result = make_result(abs_rel=values, **more)
    result.save(folder)
    rows = [
        SampleRow(
            index=i,
            sample_id=f"rendered/{NASTY}/{i}",
            scene=str(i),
            values={"abs_rel": v, "delta1": 1 - 2 * v},
            seconds=0.5,
        )
        for i, v in enumerate(values)
    ]
    rows.append(
        SampleRow(index=len(values), sample_id="gone", scene="x", status=SKIPPED, reason="no pixel")
    )
    write_table(folder / SAMPLES_FILE, rows, ["abs_rel", "delta1"], [])
    (folder / "previews").mkdir(exist_ok=True)
    for i, error in enumerate(values):
        truth = np.linspace(1, 5, 12 * 16).reshape(12, 16).astype(np.float16)
        truth[0] = np.nan
        save_preview(
            preview_path(folder, i),
            Preview(
                rgb=np.full((12, 16, 3), 40 * i, np.uint8),
                truth=truth,
                prediction=(np.nan_to_num(truth, nan=2.0) * (1 + error)).astype(np.float16),
                valid=np.isfinite(truth),
                uncertainty=np.full((12, 16), 0.1, np.float16) if with_uncertainty else None,
            ),
        )
    return folder
