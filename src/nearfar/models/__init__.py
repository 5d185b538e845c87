"""Depth families, one folder a paper; `FAMILIES` names their modules, nothing is imported here.

base.py   Predictor, Objective: what every family offers
dar/      DAR (arXiv 2411.11361): metric depth by finer tokens and narrower bins
depthart/ VAR and DepthART (arXiv 2404.02905, 2409.15010): depth by next-scale prediction
ppd/      Pixel-Perfect Depth (arXiv 2510.07316)
var_depth/ VAR-Depth (arXiv 2512.22653): ten scales on Switti, the photo instead of the text

A folder with a family.py is a family: add one or delete one, and no table needs to be told.
"""

from pkgutil import iter_modules

FAMILIES = {
    name: f"nearfar.models.{name}.family"
    for _, name, is_folder in sorted(iter_modules(__path__), key=lambda found: found.name)
    if is_folder
}
