"""Judging depth against ground truth; knows no command line.

metrics.py  AbsRel, delta1, the log alignment, and the flat and row-ramp baselines
"""
