"""Frozen networks that give semantics, and some of them metres; no files, no depth families.

base.py               the protocols SemanticEncoder and MetricEncoder
dinov2.py             the vision transformer both published encoders share
depth_anything_v2.py  semantics of Depth Anything V2
moge2.py              semantics and metric geometry of MoGe-2
tiny.py               ours: semantics, log metric depth, field of view
"""
