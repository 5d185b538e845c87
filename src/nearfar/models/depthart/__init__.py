"""DepthART (arXiv 2409.15010): depth by next-scale prediction, on VAR (arXiv 2404.02905).

A depth map is tokens at growing scales (1x1, 2x2, ... 16x16) of a frozen VQ-VAE. A transformer that
sees the photo and the scales so far predicts all tokens of the next scale at once; their code
vectors add up to the features that the VQ-VAE decodes. DepthART trains it on its own mistakes:
the target of a scale is what is left to say after the tokens it chose itself.

| docs/nextscale.md | what                                              | file               |
|-------------------|---------------------------------------------------|--------------------|
| 1                 | VQ-VAE, residual quantization                     | tokenizers/        |
| 6                 | transformer: embeddings, blocks, head             | transformer.py     |
| 6.5               | class-conditional VAR with guidance               | sample.py          |
| 2                 | photo and depth as one sequence, mask             | network.py         |
| 2                 | next-scale loop                                   | sample.py          |
| 2                 | best token, drawn token, mean of draws            | sample.py          |
| 2                 | dynamic targets, first pass                       | objective.py       |
| 2                 | teacher forcing, dynamic targets, their losses    | objective.py       |
| 2                 | photo and depth through the frozen tokenizer      | objective.py       |
| 1                 | squashing, depth as an image                      | square.py          |
| 2                 | photo to hypotheses                               | predictor.py       |
| 9                 | published tensor names                            | keys.py            |
| 2                 | modulation of a constant condition, computed once | network.py         |
| 2                 | keys and values, allocated once                   | layers/kv_cache.py |

config.py holds the sizes, presets.py the named ones (depthart, d16 .. d36 published, tiny ours),
family.py is what the rest of the house knows of all this.
"""
