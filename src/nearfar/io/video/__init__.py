"""Clips: video files and folders of frames in, video files and sequences out; one frame at a time.

clip.py       what a clip and one of its frames are
reader.py     a video file as a stream of upright RGB frames with times (PyAV)
picture.py    a decoded frame as upright sRGB: mirrored, interlaced, HDR
folder.py     a folder of pictures as the same stream
source.py     which of both a path means; the clip's identity
codes.py      depth as 16-bit codes and back
encoder.py    H.264 and FFV1 files, whole or absent, with the source's audio
depth_clip.py lossless depth video with its meaning beside it, and back to results
recording.py  a Rerun recording: camera, photo, depth and cloud on a timeline
parts.py      finished windows on disk, for resume and for the final files
"""
