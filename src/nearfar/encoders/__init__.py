"""Frozen networks that give semantics, and some of them metres; no files, no depth families.

base.py               the protocols SemanticEncoder, ClipEncoder, MetricEncoder, JointEncoder
families.py           what each says about itself: networks, files, training
dinov2.py             the vision transformer both published encoders share
depth_anything_v2.py  semantics of Depth Anything V2
moge2.py              semantics and metric geometry of MoGe-2
moge2_config.py       its layout, read from the checkpoint
moge2_decoder.py      its convolutional pyramid
moge2_camera.py       focal length and shift from an affine point map
efficientnet_lite.py  a backbone that learned from photographs (ImageNet), and its key map
outputs.py            what our small encoders say, and how it is read
photo.py              ours: semantics, log metric depth, sky, field of view on that backbone
photo_objective.py    what the photo encoder learns
pi3.py                semantics of Pi3: frames of a clip seen together
tiny.py               ours: semantics, log metric depth, field of view
tiny_objective.py     what the tiny encoder learns
tiny_video.py         ours for clips: the tiny encoder and attention across frames
tiny_video_objective.py  what the tiny video encoder learns
"""
