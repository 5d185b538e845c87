"""Readers of evaluation datasets as their owners ship them; none crops, clips or aligns.

cards.py          what is known of each: licence, splits, counts, fingerprints
entries.py        samples by the names of their files, shared by the readers below
nyu.py            NYU Depth V2: labeled .mat, BTS, Marigold
kitti.py          KITTI: Eigen lists, val drives, official selection
eth3d.py          ETH3D: raw float depth, COLMAP poses
diode.py          DIODE
scannet.py        ScanNet: exported frames and .sens
sens.py           the .sens file
sunrgbd.py        SUN RGB-D
frames.py         frames with the function that reads one, in the order of a list
ibims.py          iBims-1: png and .mat, edges, planes
tum.py            TUM RGB-D: pairing by time stamps, poses
bonn.py           Bonn RGB-D Dynamic
middlebury.py     Middlebury 2014, 2021, MiddEval3
sintel.py         MPI Sintel: .dpt and .cam
da2k.py           DA-2K: pairs of pixels
moge_eval.py      MoGe evaluation bundle: logarithmic PNG
folder.py         own photos with depth
folder_index.py   the index of own folders: CSV, JSONL, kits, stems
depth_files.py    depth formats of own folders
rendered.py       held-out rendered scenes, no files needed
rendered_clips.py held-out rendered clips, no files needed
"""
