"""Pixel-Perfect Depth (arXiv 2510.07316): depth by flow matching in pixel space, without a VAE.

A diffusion transformer moves a noise map to a depth map in a few Euler steps. Its first half works
on coarse tokens (16x16 pixels); there the features of a frozen foundation encoder ("semantics") are
fused in once, every token becomes 2x2 finer ones, and the second half works on those.

| docs/ppd.md | what                                        | file                             |
|-------------|---------------------------------------------|----------------------------------|
| 1.1-1.8     | the transformer, in the order of the figure | network.py (blocks: layers/)     |
| 1, start    | initialization                              | network.py: init_weights         |
| 2           | sampling loop                               | sample.py                        |
| 2           | times, path, velocity, Euler step           | sampling/                        |
| 3           | network size, resizing, photo to hypotheses | predictor.py, geometry/resize.py |
| 5           | log-depth target                            | geometry/depth_space.py          |
| 6           | velocity loss, multi-scale gradient loss    | objective.py                     |
| 13          | published tensor names and shapes           | keys.py                          |

Ours, for small networks (prediction "clean"): the clean map itself, as a correction to the map that
the encoder already knows (docs/ppd.md section 15).

| what                                               | file                                |
|----------------------------------------------------|-------------------------------------|
| the encoder's frame, and truth fitted to it        | anchor.py                           |
| clean map and its spread                           | network.py: clean_map               |
| sides of edges and corrections at full resolution  | detail.py                           |
| what it learns                                     | objective.py: PPDCorrectionObjective |

config.py holds the sizes, presets.py the named ones (`large` = published, `tiny`, `tiny_photo` =
ours), family.py is what the rest of the house knows of all this, prunable.py which layers can be
pruned.

Its video form (PPVD, arXiv 2601.05246; docs/ppd.md section 11) sees windows of 16 frames: semantics
of an encoder that looks at all of them, attention across frames at every place, and pooled tokens
of the window's first frames for the others to refer to. Later windows open with key frames of the
one before and are stitched to it by least squares.

| docs/ppd.md 11 | what                                          | file               |
|----------------|-----------------------------------------------|--------------------|
| 1, 3, 4        | blocks across frames, reference tokens, table | video_network.py   |
| 5              | which frames a window sees                    | video_predictor.py |
| 6              | scale and shift of a window                   | video_predictor.py |
| all            | frames to stitched depth, window by window    | video_predictor.py |
| training       | losses of clips; the release has no training  | video_objective.py |

config.py holds its sizes (`video` = published, `video_tiny` = ours).
"""
