"""DAR (arXiv 2411.11361): metric depth by autoregression over resolution and granularity.

In K steps a transformer writes ever finer token maps of a photo, each step seeing the earlier ones
(patch-wise causal mask). Every step divides the depth range around what it found into bins again
(multi-way tree bins), and a ConvGRU tells the tokens about the bins. The public code neither
applies the mask nor refreshes the bins; we build the paper, and keep the code's way as a preset.

| docs/dar.md | what                                            | file                |
|-------------|-------------------------------------------------|---------------------|
| 1, 3b       | the steps, paper and released                   | sample.py           |
| 2a          | ViT, neck, aggregation                          | photo_encoder.py    |
| 2a          | the tiny encoder in its place                   | photo_encoder.py    |
| 3           | transformer with long skips; cache              | transformer.py      |
| 3a, 3b      | causal mask, token maps of any aspect           | transformer.py      |
| 3b, 10      | all tokens again at every step (released, twin) | transformer.py      |
| 4           | decoder, bins injection, probabilities          | bins.py             |
| 5           | tree bins; released and elastic rules           | bins.py             |
| 3, 3b, 10   | parts joined; positions, levels, feedback       | network.py          |
| 6           | loss over all steps; how bins learn to spread   | objective.py        |
| 7           | CutDepth, cut flip                              | objective.py        |
| 3, 4        | initialization                                  | network.py          |
| 8           | photo to metres, flip, `stop_at`                | predictor.py        |
| 9           | sizes; published names, dead weights            | presets.py, keys.py |

config.py holds sizes and decisions and what they must fulfil; family.py is what the rest of
the house knows of all this.
"""
