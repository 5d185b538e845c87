"""Readers of the datasets that models are trained on: `open_X(store, ...)` gives a `Dataset`.

cards.py            what is known of each of them: licence, splits, counts, options
frames.py           frames found by file names, lists, and the object that reads them
hypersim.py         Hypersim, raw and as Marigold prepares it
hypersim_camera.py  its tilted cameras as true pinholes
vkitti2.py          Virtual KITTI 2
urbansyn.py         UrbanSyn
unrealstereo4k.py   UnrealStereo4K
tartanair.py        TartanAir v1 and v2
irs.py              IRS
pointodyssey.py     PointOdyssey
webdataset.py       shards of own samples
"""
