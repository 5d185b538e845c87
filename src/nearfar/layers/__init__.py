"""Building blocks used by two or more families; tensors in, tensors out, no depth in here.

attention.py  qk-normalized self-attention; fused kernel and its plain twin
kv_cache.py   keys and values of all tokens so far, allocated once
rope.py       2-D rotary position tables and their application
norm.py       LayerNorm modulated by shift and scale; fused and plain
adaln.py      adaLN-zero transformer block
initial.py    fresh weights as torch draws them, from a generator
without_memory.py  a network on the meta device, for its names and shapes
mlp.py        two-layer perceptron with a named activation
patch.py      pixels to tokens, 2x2 token expansion, tokens to pixels
token_block.py  attention and MLP after norms, for our small encoders
prunable.py   what pruning may touch of a network, and layers cut down
timestep.py   sinusoidal time embedding, always computed in float32

May not enter: file access, environment, families. Imports: nearfar.errors only.
"""
