"""Depth families, one folder a paper; `FAMILIES` names their modules, nothing is imported here.

base.py   Predictor, Objective: what every family offers
dar/      DAR (arXiv 2411.11361): metric depth by finer tokens and narrower bins
depthart/ VAR and DepthART (arXiv 2404.02905, 2409.15010): depth by next-scale prediction
ppd/      Pixel-Perfect Depth (arXiv 2510.07316)
var_depth/ VAR-Depth (arXiv 2512.22653): ten scales on Switti, the photo instead of the text
"""

FAMILIES = {
    "ppd": "nearfar.models.ppd",
    "dar": "nearfar.models.dar",
    "depthart": "nearfar.models.depthart",
    "var_depth": "nearfar.models.var_depth",
}
