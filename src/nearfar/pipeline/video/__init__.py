"""From a clip to depth of every frame, in memory that does not grow with its length.

config.py     VideoConfig: what a clip can be asked for
load.py       load_video: a model by name, as something that streams a clip
cuts.py       scene cuts, from one frame to the next
state.py      what a stream needs to go on: key frames, metres, the last picture
per_frame.py  any image model on every frame, the same noise each time
windows.py    a video model, window by window
limits.py     quantiles of depth over a clip, and ranges for its colors
checkpoint.py how far a clip is, on disk
run.py        a clip into finished parts on disk, resumable
outputs.py    parts into the files asked for
record.py     what a finished clip was, beside its files
"""
