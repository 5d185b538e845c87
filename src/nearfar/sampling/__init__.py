"""Pure tensor functions of the generative process; networks come in as callables.

categorical.py    top-k, top-p, guidance and draws of tokens from logits
timesteps.py      PPD's sampling times; logit-normal training times
flow_matching.py  straight line between clean and noise, its velocity, and back
next_scale.py     the loop of next-scale prediction: codes of a scale added to those before
euler.py          one Euler step along the velocity

May not enter: networks, files, hidden random state (a generator is always an argument).
"""
