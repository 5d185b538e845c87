"""The VQ-VAE: image to features, features to tokens, tokens or features to image."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from nearfar.errors import ConfigError

from .autoencoder import Decoder, Encoder
from .config import VQConfig
from .quantizer import MultiScaleQuantizer, QuantizedScales


class VQVAE(nn.Module):
    """Encoder, multi-scale quantizer and decoder; images are in -1..1."""

    def __init__(self, config: VQConfig) -> None:
        super().__init__()
        self.config = config
        width = config.code_width
        self.encoder = Encoder(config)
        self.quant_conv = nn.Conv2d(width, width, 3, padding=1)
        self.quantize = MultiScaleQuantizer(config)
        self.post_quant_conv = nn.Conv2d(width, width, 3, padding=1)
        self.decoder = Decoder(config)

    def features(self, image_BCHW: Tensor) -> Tensor:
        """f [B,C,H/stride,W/stride], float32: what is quantized. Image in -1..1."""
        self._require_image(image_BCHW)
        x_BCHW = image_BCHW.to(self.quant_conv.weight.dtype)
        return self.quant_conv(self.encoder(x_BCHW)).float()

    def encode(self, image_BCHW: Tensor, *, scales: Sequence[int] | None = None) -> QuantizedScales:
        """Tokens and partial sums of images in -1..1."""
        return self.quantize.encode(self.features(image_BCHW), scales=scales)

    def reconstruct(self, f_hat_BCHW: Tensor) -> Tensor:
        """The decoder's image of summed code maps, not clamped (for training), float32."""
        x_BCHW = f_hat_BCHW.to(self.post_quant_conv.weight.dtype)
        return self.decoder(self.post_quant_conv(x_BCHW)).float()

    def decode(self, f_hat_BCHW: Tensor) -> Tensor:
        """Image in -1..1 of summed code maps (any partial sum will do), float32."""
        return self.reconstruct(f_hat_BCHW).clamp(-1, 1)

    def decode_indices(
        self, indices: Sequence[Tensor], *, scales: Sequence[int] | None = None
    ) -> Tensor:
        """Image in -1..1 of the tokens [B,p*p] of all scales."""
        return self.decode(self.quantize.partial_sums(indices, scales=scales)[-1])

    def cast(self, dtype: torch.dtype) -> VQVAE:
        """Itself with the convolutions in `dtype`; the quantizer stays float32."""
        for part in (self.encoder, self.quant_conv, self.post_quant_conv, self.decoder):
            part.to(dtype=dtype)
        return self

    def _require_image(self, image_BCHW: Tensor) -> None:
        channels, stride = self.config.image_channels, self.config.stride
        _, C, H, W = image_BCHW.shape
        if channels != C:
            raise ConfigError("VQVAE", f"image of {C} channels, the tokenizer takes {channels}")
        if H % stride or W % stride:
            raise ConfigError(
                "VQVAE",
                f"image of {H}x{W} pixels, stride {stride}",
                f"Resize it to {self.config.image_size}x{self.config.image_size}",
            )


@torch.no_grad()
def draw_codebook(network: VQVAE, *, generator: torch.Generator) -> None:
    """Redraw the codes: normal with standard deviation code_width^-1/2."""
    scale = network.config.code_width**-0.5
    network.quantize.embedding.weight.normal_(std=scale, generator=generator)
