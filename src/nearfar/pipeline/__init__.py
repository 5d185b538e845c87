"""From a photo to a `DepthResult`: the only room that joins files, networks and geometry.

config.py    what rooms above ask predictions with (predict_config.py), and the default model
load.py      load: a model by name or path
predict.py   Model.predict: photo -> hypotheses -> ensemble -> metres -> photo's size
ensemble.py  hypotheses aligned to their median, and their spread
calibration.py  the spread as a deviation whose intervals cover what they say
metres.py    metres from a metric reference; the camera
video/       clips: depth of every frame, resumable, in constant memory

Knows no command line and trains nothing.
"""
