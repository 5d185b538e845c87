"""Weights: names, licences, files, and the way from a file to a predictor ready to run.

registry.py   the table of known weights: file, sha256, licence, encoder tag, sizes (no torch)
licences.py   which non-commercial licences this user has accepted
safe.py       reading and writing files: damage, code in pickles, NaN and zeros are refused
published.py  what a file is: ours by its metadata, or a released checkpoint
released.py   released checkpoints: nesting, prefixes, kind by names, config from shapes
shared_stem.py  an encoder inside others' files: left out, and taken from the embedded one
families.py   every family by its own description (nearfar/family.py); no torch
networks.py   network of a kind on the meta device, tensors put in, faults named and counted
prune_plan.py  what was pruned away from a network: the plan in its file, networks cut by it
convert.py    released checkpoint to our safetensors
tokenizers.py  a tokenizer from a file, ours or released
predictors.py a network to its family's predictor; what gives no depth says what it is
hub.py        download with progress, cache, offline message
load.py       name, folder or file to predictor or encoder

The folder `embedded` holds the files that ship with the package, each with its card (JSON).
"""
