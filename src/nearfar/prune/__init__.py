"""Part of a network gone without retraining (OBS-Diff, arXiv 2510.06751; docs/prune.md).

hessian.py    how much each sampling step counts; what a layer was given, summed up
surgeon.py    weights or columns removed, and the rest moved to make up for it
baselines.py  magnitude, Wanda and L1 by the same interface
ranking.py    several rankings fused into one
"""
