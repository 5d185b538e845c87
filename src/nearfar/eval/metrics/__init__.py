"""Metrics as pure functions of arrays: no protocol, no file, no model.

image.py         all image metrics in one pass; the log alignment, flat and row-ramp baselines
edges.py        boundary F1 and recall, edge-aware Chamfer distance, flying pixels
ibims.py         edge, plane and directed errors of iBims-1
points.py        MoGe's point alignment and metrics, field of view
temporal.py     temporal alignment error, flow warping error, flicker, drift; tracks of pixels
uncertainty.py   AUSE, coverage, calibration, risk-coverage curve
"""
