"""Pictures of depth results; numpy only, may import errors and result, never torch.

colormap.py  depth to color: near is warm, invalid is black
charts.py    histograms and curves as SVG
panel.py     pictures side by side, contact sheets
luts.npz     the color tables (scripts/make_luts.py writes them)
"""

from typing import TYPE_CHECKING

from nearfar.public import lazy_names

if TYPE_CHECKING:
    from .colormap import color_depth
    from .panel import contact_sheet, side_by_side

__all__ = [
    "color_depth",
    "contact_sheet",
    "side_by_side",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "color_depth": "colormap",
        "contact_sheet": "panel",
        "side_by_side": "panel",
    },
)
