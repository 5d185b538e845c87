"""Write src/nearfar/viz/luts.npz: color tables of 256 entries, taken from matplotlib (dev only).

Run: python scripts/make_luts.py
"""

from pathlib import Path

import numpy as np
from matplotlib import colormaps

TABLES = {
    "spectral": "Spectral",
    "turbo": "turbo",
    "inferno": "inferno",
    "magma": "magma",
    "viridis": "viridis",
    "gray": "gray",
}
TARGET = Path(__file__).parents[1] / "src" / "nearfar" / "viz" / "luts.npz"


def tables() -> dict[str, np.ndarray]:
    """uint8 RGB [256,3] per name, rounded from matplotlib's own 256 steps."""
    steps = np.arange(256)
    return {name: colormaps[source](steps, bytes=True)[:, :3] for name, source in TABLES.items()}


if __name__ == "__main__":
    np.savez_compressed(TARGET, **tables())
    print(f"{TARGET}: {TARGET.stat().st_size} bytes")
