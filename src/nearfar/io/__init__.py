"""Files in and out; may import errors, result, geometry. Never torch at import.

inputs.py     which photos a path, folder, glob, list or URL means
encode.py     pictures as bytes and data URLs
fetch.py      bytes of a file, URL or standard input, within limits
images.py     photo reading and picture writing (Pillow)
resample.py   photos at another size by Pillow's filters
writers.py    DepthResult -> files, table of formats
readers.py    file -> DepthResult
arrays.py     raw depth arrays of other people's files
depth/        one depth format a file: png16 npz exr pfm; metadata shared by them
video/        clips: video files and folders of frames in, videos and depth videos out
scene/        point cloud PLY, mesh GLB
atomic.py     files that are complete or absent
manifest.py   what was done, for resume
"""
