"""Training: one loop for every family, from a TOML recipe.

config.py      the recipe's sections as frozen dataclasses
recipe.py      TOML and `key=value` overrides into a recipe; refuses unknown keys
frozen_parts.py  encoders and tokenizers that networks stand on
recipe_parts.py  what a recipe gives the network it trains, found and checked when asked for
tokenizer_target.py  the target of a depth tokenizer
shards.py      weights split over processes (FSDP2), whole again in files
clip_targets.py  the target of the tiny video encoder, which learns from clips
targets.py     table: model kind -> network, objective, preview
sources.py     table: data source -> batches; which images step s sees
datasets.py    the source of datasets on disk: mixtures, licences, held-out splits
muon.py        orthogonalized momentum for matrices, AdamW for the rest
optimizer.py   AdamW or Muon over groups and the learning rate of a step
ema.py         moving average of the weights
checkpoint.py  everything an exact resume needs, written in one piece
loop.py        the loop
launch.py      device and rank, from accelerate; copies of the network or shares of it
validation.py  held-out losses, aligned depth errors, pictures
logging.py     JSONL and TensorBoard
plan.py        what a run would need: sizes, memory of every GPU (--dry-run)
watch.py       what a run reports while it works, and its clock
export.py      weights.safetensors and its card
__main__.py    `python -m nearfar.train RECIPE` for launchers, without the command line packages

May not enter: files of photos and drawing (io, viz); pictures leave through a callback.
"""
