"""Readers of evaluation datasets as their owners ship them; none crops, clips or aligns.

cards.py      what is known of each: licence, splits, counts, fingerprints
entries.py    samples by the names of their files, shared by the readers below
nyu.py        NYU Depth V2: labelled .mat, BTS, Marigold
kitti.py      KITTI: Eigen lists, val drives, official selection
eth3d.py      ETH3D: raw float depth, COLMAP poses
diode.py      DIODE
scannet.py    ScanNet: exported frames and .sens
sens.py       the .sens file
sunrgbd.py    SUN RGB-D
rendered.py   held-out rendered scenes, no files needed
"""
