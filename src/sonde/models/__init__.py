"""Depth families, one folder a paper; `FAMILIES` names their modules, nothing is imported here.

base.py   Predictor, Objective: what every family offers
ppd/      Pixel-Perfect Depth (arXiv 2510.07316)
"""

FAMILIES = {"ppd": "sonde.models.ppd"}
