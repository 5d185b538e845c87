"""Depth families, one folder a paper; `FAMILIES` names their modules, nothing is imported here.

base.py   Predictor, Objective: what every family offers
dar/      DAR (arXiv 2411.11361): metric depth by finer tokens and narrower bins
depthart/ VAR and DepthART (arXiv 2404.02905, 2409.15010): depth by next-scale prediction
ppd/      Pixel-Perfect Depth (arXiv 2510.07316)
var_depth/ VAR-Depth (arXiv 2512.22653): ten scales on Switti, the photo instead of the text
"""

FAMILIES = {
    "ppd": "sonde.models.ppd",
    "dar": "sonde.models.dar",
    "depthart": "sonde.models.depthart",
    "var_depth": "sonde.models.var_depth",
}
