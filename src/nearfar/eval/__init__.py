"""Judging depth against ground truth; knows no command line.

metrics/            what is measured, as pure functions of arrays
protocols/          one locked file each (TOML)
protocol.py         locked protocols: fields, load, hash, override
value_space.py      what a prediction's numbers are, and the conversions a protocol allows
prepare.py          one image as its protocol crops, resizes, warps and masks it
warp.py             MoGe's centered view of a sample
predictions.py      a model, a video model or a baseline asked for maps
align.py            the alignments a protocol can name
judge.py            a clip, or an image as a clip of one frame: predict, align, cap, measure
measures.py         the metrics a protocol may list, by id, of images and of clips
run.py              an evaluation: checks, loop, resume, shares of processes
results.py          the folder of a run: run.json, samples.csv, previews, result.json
summaries.py        means, intervals and groups of a table; the result from what lies on disk
compare.py          results beside each other: titles, paired differences, a table of all models
report.py           one HTML file about a run, with images as pictures
circumstances.py    versions, commit, machine, memory
"""
