"""Files in and out; may import errors, result, geometry. Never torch at import.

inputs.py     which photos a path, folder, glob, list or URL means
encode.py     pictures as bytes and data URLs
fetch.py      bytes of a file, URL or standard input, within limits
images.py     photo reading and picture writing (Pillow)
pixels.py     pixel values of any type as 8-bit RGB, transparency
linear.py     linear light (EXR, Radiance HDR) as sRGB: the tone curve
profiles.py   colors by their ICC profile
exif.py       the focal length that EXIF states, where it agrees
float_tiff.py TIFF of three float channels
foreign.py    what a file that is no photo calls itself
resample.py   photos at another size by Pillow's filters
silence.py    no lines of decoders beside ours
writers.py    DepthResult -> files, table of formats
readers.py    file -> DepthResult
arrays.py     raw depth arrays of other people's files
depth/        one depth format a file: png16 npz exr pfm; metadata shared by them
video/        clips: video files and folders of frames in, videos and depth videos out
scene/        point cloud PLY, mesh GLB
atomic.py     files that are complete or absent, folders that one process has alone
bounded.py    NumPy files within a stated bound of memory
walk.py       files below a folder, through links, without circles
manifest.py   what was done and whose a file is, for resume
"""

from typing import TYPE_CHECKING

from nearfar.public import lazy_names

if TYPE_CHECKING:
    from .arrays import read_depth_array
    from .images import read_image
    from .inputs import find_inputs
    from .readers import read_result
    from .video.depth_clip import read_depth_clip
    from .video.source import open_clip
    from .writers import save_result

__all__ = [
    "find_inputs",
    "open_clip",
    "read_depth_array",
    "read_depth_clip",
    "read_image",
    "read_result",
    "save_result",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "find_inputs": "inputs",
        "open_clip": "video.source",
        "read_depth_array": "arrays",
        "read_depth_clip": "video.depth_clip",
        "read_image": "images",
        "read_result": "readers",
        "save_result": "writers",
    },
)
