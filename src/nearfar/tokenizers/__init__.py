"""Images to discrete tokens and back: the multi-scale residual VQ-VAE of VAR, DepthART and Switti.

families.py     what they say about themselves: networks, files, training
config.py       sizes of a tokenizer
presets.py      named sizes: var and switti are published, tiny, tiny_depth, tiny_depth10 ours
phi.py          which correction convolution serves which scale
quantizer.py    residual quantization over scales, partial sums, next-scale inputs
autoencoder.py  convolutional encoder and decoder
vqvae.py        all together: image to features, tokens, image
objective.py    training: image, gradient, codebook and commitment losses
revival.py      use of the codebook: report, and new places for codes that nobody takes
keys.py         published tensor names and ours

May not enter: depth (curves are in geometry), files, families. Imports: errors, layers.
"""
