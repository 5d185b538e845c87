"""VAR-Depth (arXiv 2512.22653): depth in ten fixed scales, on a text-to-image VAR (Switti).

The photo takes the place of the text: small MLPs over its features condition a transformer that
predicts the tokens of a depth map scale by scale. Two designs: `compat`, as released (an adapter
beside a constant prompt, which cannot place anything, and a U-Net regressor), and `geo`, ours, in
which a U-Net ladder over the scales keeps the photo's geometry in its places.

| docs/nextscale.md | what                                  | file                            |
|-------------------|---------------------------------------|---------------------------------|
| 7.1, 7.5          | tokens of scales to logits            | transformer.py                  |
| 7.2               | crop condition                        | condition.py                    |
| 7.3               | the block                             | transformer.py (cache: layers/) |
| 7.4               | rotary positions                      | transformer.py                  |
| 3, 7.6            | guidance over scales; choosing codes  | sample.py                       |
| 3                 | the loop over scales                  | sample.py                       |
| 8.1, 8.2          | released adapter, prefix modes        | condition.py                    |
| 3, 8.3            | second stage                          | pixel_upsampler.py              |
| 9                 | published tensor names                | keys.py                         |
| 3                 | photo features, MLPs instead of text  | condition.py                    |
| 3                 | scale-wise conditional upsampling     | scale_ladder.py                 |
| 3                 | losses; teacher forcing and own codes | objective.py                    |
| 3, 8.3            | losses of the second stage            | objective.py                    |
| 1, 3              | squares, photo to hypotheses          | square.py, predictor.py         |

network.py puts the parts together and draws fresh weights, config.py holds the sizes and what goes
together, presets.py the named ones; family.py is what the rest of the house knows of all this. The
tokenizer (section 1) is a room of its own, depth curves are in geometry/depth_curves.py.
"""
