"""The papers' claims in miniature: each part against its rival at equal processor seconds.

    python benchmarks/claims NAME [options]      # NAME: ppd, nextscale, dar or video; NAME --help

ppd.py, ppd_networks.py              semantics, cascade, pixels, flow (Pixel-Perfect Depth)
nextscale.py, nextscale_networks.py  targets, guidance, the photo's place, stages (next scale)
dar.py, dar_scenes.py, dar_networks.py  transformer, bins, mask, feedback, steps (DAR)
video.py, video_clips.py             range, blocks across frames, references, semantics (PPVD)
options.py    options that every claim has
scenes.py     rendered scenes in memory, and scores of maps
training.py   training for a number of processor seconds
report.py     means and spreads over seeds, paired differences, tables
"""
