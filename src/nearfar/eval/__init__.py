"""Judging depth against ground truth; knows no command line.

metrics/    what is measured, as pure functions of arrays
align.py    the alignments a protocol can name
crops.py    boxes and masks: which pixels count
warp.py     MoGe's centered view of a sample
tta.py      flip average and two-window blend of DAR
value_space.py  what a prediction's numbers are, and the conversions a protocol allows
protocol.py  locked protocols: load, hash, override
parts.py     the tables of a protocol, field by field
results.py   EvalResult (result.json) and the previews of samples
samples.py   samples.csv: written row by row, read back
report.py    one HTML file about a run
standing.py  stored results as tables, models side by side
case_pictures.py  one image of a run as pictures
metric_names.py   how metrics are shown, and which way is better
statistics.py    bootstrap intervals and paired differences
run.py           an evaluation: checks, loop, resume, shares of processes
run_files.py     the folder of a run: settings, tables, marks of the end
judge.py         one image: predict, align, cap, measure
prepare.py       one image as its protocol crops, resizes, warps and masks it
judge_clip.py    one clip: one fit for all its frames
clip_measures.py    metrics of whole clips: alignment and warping errors, flicker, drift
video_estimator.py  a video model asked for clips
predictions.py   a model or a baseline asked for one photo
measures.py      the metrics a protocol may list, by id
assemble.py      the result from what a run left on disk
summaries.py     means, intervals and groups of a table
compare.py       two results: is the difference larger than its interval?
circumstances.py versions, commit, machine, memory
"""
