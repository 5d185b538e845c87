"""Pixel-Perfect Depth (arXiv 2510.07316): depth by flow matching in pixel space, without a VAE.

A diffusion transformer moves a noise map to a depth map in a few Euler steps. Its first half works
on coarse tokens (16x16 pixels); there the features of a frozen foundation encoder ("semantics") are
fused in once, every token becomes 2x2 finer ones, and the second half works on those.

| spec ppd.md | what                                           | file                             |
|-------------|------------------------------------------------|----------------------------------|
| 1.1-1.8     | the transformer, in the order of the figure    | network.py (blocks: layers/)     |
| 1, end      | initialisation                                 | network.py: init_weights         |
| 2           | sampling loop                                  | sample.py                        |
| 2           | times, path, velocity, Euler step              | sampling/                        |
| 3           | network size, resizing, photo to hypotheses    | predictor.py, geometry/resize.py |
| 5           | log-depth target                               | geometry/depth_space.py          |
| 6           | velocity loss, multi-scale gradient loss       | objective.py                     |
| 13          | published tensor names and shapes              | keys.py                          |

config.py holds the sizes, presets.py the named ones (`large` = published, `tiny` = ours).
"""
