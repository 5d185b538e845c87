"""Depth file formats; each file has `write(result, path)` and `read(path)`.

png16.py     16-bit PNG: millimetres of metric maps, normalized otherwise
npz.py       NumPy archive with every field
exr.py       OpenEXR, channel Z
pfm.py       portable float map
metadata.py  the fields beside the arrays, as JSON; file names by kind
"""
