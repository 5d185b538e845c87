"""What travels beside the arrays: other fields as JSON, the kind in the file name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nearfar.errors import InputError
from nearfar.result import DepthKind, DepthResult
from nearfar.typed import typed

SCALARS: Mapping[str, Any] = {  # field of DepthResult -> its type
    "fov_x_deg": float | None,
    "metric_reference": str | None,
    "model": str,
    "weights_sha256": str,
    "seed": int | None,
    "steps": int | None,
    "licence": str,
    "seconds": float | None,
}
KIND_SUFFIXES = {
    DepthKind.METRIC: "_depth",
    DepthKind.SCALE_INVARIANT: "_scale_invariant_depth",
    DepthKind.AFFINE_DEPTH: "_affine_depth",
    DepthKind.AFFINE_LOG_DEPTH: "_affine_log_depth",
}


def to_json(result: DepthResult) -> str:
    """Kind, camera and origin of a result as one line of ASCII JSON."""
    fields: dict[str, Any] = {"kind": result.kind.value}
    fields |= {name: getattr(result, name) for name in SCALARS}
    if result.intrinsics is not None:
        fields["intrinsics"] = np.asarray(result.intrinsics, np.float64).tolist()
    return json.dumps(fields)


def from_json(text: str, where: Path) -> dict[str, Any]:
    """The fields of `to_json` as arguments of DepthResult; InputError if they are not that."""
    try:
        stored = json.loads(text)
        fields: dict[str, Any] = {"kind": DepthKind(stored["kind"])}
        fields |= {n: typed(stored[n], SCALARS[n], f"its {n}") for n in SCALARS if n in stored}
        if stored.get("intrinsics") is not None:
            rows = typed(stored["intrinsics"], tuple[tuple[float, ...], ...], "its intrinsics")
            fields["intrinsics"] = np.array(rows, np.float64).reshape(3, 3)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(where, f"its nearfar metadata is damaged ({error})") from error
    return fields


def kind_of_name(path: Path) -> DepthKind | None:
    """The kind that the ending of the file name states, None if it states none."""
    stem = path.stem
    ends = [kind for kind, suffix in KIND_SUFFIXES.items() if stem.endswith(suffix)]
    return max(ends, key=lambda kind: len(KIND_SUFFIXES[kind]), default=None)
