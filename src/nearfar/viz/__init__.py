"""Pictures of depth results; numpy only, may import errors and result, never torch.

colormap.py  depth to color: near is warm, invalid is black
charts.py    histograms and curves as SVG
panel.py     pictures side by side, contact sheets
luts.npz     the color tables (scripts/make_luts.py writes them)
"""
