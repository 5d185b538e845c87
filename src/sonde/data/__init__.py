"""Training data; knows no networks.

record.py   the record that dataset readers return
sample.py   the sample contract
folder.py   own RGB + depth from a CSV or JSONL list
augment.py  seeded augmentation of batches
scenes/     procedural scenes and their renderer
"""
