"""VAR-Depth (arXiv 2512.22653): depth in ten fixed scales, on a text-to-image VAR (Switti).

The photo takes the place of the text: small MLPs over its features condition a transformer that
predicts the tokens of a depth map scale by scale. Two designs: `compat`, as released (an adapter
beside a constant prompt, which cannot place anything, and a U-Net regressor), and `geo`, ours, in
which a U-Net ladder over the scales keeps the photo's geometry in its places.

| spec var_depth.md | what                                  | file                            |
|-------------------|---------------------------------------|---------------------------------|
| B2, B5            | tokens of scales to logits            | transformer.py                  |
| B2                | crop condition                        | condition.py                    |
| B3                | the block                             | transformer.py (cache: layers/) |
| B4                | rotary positions                      | transformer.py                  |
| B8, C4            | guidance over scales; choosing codes  | sample.py                       |
| A1, B8            | the loop over scales                  | sample.py                       |
| A2                | released adapter, prefix modes        | condition.py                    |
| A2, C3            | second stage                          | pixel_upsampler.py              |
| A2, B9            | published tensor names                | keys.py                         |
| C1                | photo features, MLPs instead of text  | condition.py                    |
| C2                | scale-wise conditional upsampling     | scale_ladder.py                 |
| C6                | losses; teacher forcing and own codes | objective.py                    |
| A2, C3            | losses of the second stage            | objective.py                    |
| C7, C11           | squares, photo to hypotheses          | square.py, predictor.py         |

network.py puts the parts together and draws fresh weights, config.py holds the sizes and what goes
together, presets.py the named ones; family.py is what the rest of the house knows of all this. The
tokenizer (B6) is a room of its own, depth curves are in geometry/depth_curves.py.
"""
