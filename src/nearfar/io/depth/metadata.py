"""What travels beside the arrays: other fields as JSON, the kind in the file name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from nearfar.errors import InputError
from nearfar.result import DepthKind, DepthResult

SCALARS = (
    "fov_x_deg",
    "metric_reference",
    "model",
    "weights_sha256",
    "seed",
    "steps",
    "licence",
    "seconds",
)
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
        fields |= {name: stored[name] for name in SCALARS if name in stored}
        if stored.get("intrinsics") is not None:
            fields["intrinsics"] = np.array(stored["intrinsics"], np.float64).reshape(3, 3)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(where, f"its nearfar metadata is damaged ({error})") from error
    return fields


def kind_of_name(path: Path) -> DepthKind | None:
    """The kind that the ending of the file name states, None if it states none."""
    stem = path.stem
    ends = [kind for kind, suffix in KIND_SUFFIXES.items() if stem.endswith(suffix)]
    return max(ends, key=lambda kind: len(KIND_SUFFIXES[kind]), default=None)
