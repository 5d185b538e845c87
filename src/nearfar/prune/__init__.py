"""Part of a network gone without retraining (OBS-Diff, arXiv 2510.06751; docs/prune.md).

config.py     what a pruning is asked for
model.py      prune_model: package by package through the network
calibration.py  photos run through a model, and what its layers are given on the way
hessian.py    how much each sampling step counts; what a layer was given, summed up
surgeon.py    weights or columns removed, and the rest moved to make up for it
baselines.py  magnitude, Wanda and L1 by the same interface
ranking.py    several rankings fused into one
report.py     what was done, and what it changed
files.py      files of pruned networks, finished or on the way

Which layers of a family can be pruned stands in its family.py; how files of pruned networks are
read in weights/prune_plan.py.
"""
