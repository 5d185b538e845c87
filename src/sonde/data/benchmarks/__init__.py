"""Readers of evaluation datasets as their owners ship them; none crops, clips or aligns.

cards.py      what is known of each: licence, splits, counts, fingerprints
rendered.py   held-out rendered scenes, no files needed
"""
