"""Pictures of the documentation and of the tutorials, in a third of their size."""

from io import BytesIO

import numpy as np
from PIL import Image

__all__ = ["with_palette"]


def with_palette(png: bytes) -> bytes:
    """Return a PNG with 256 colours, white among them, and dithered: otherwise colour bars have steps."""
    image = Image.open(BytesIO(png)).convert("RGB")
    palette = image.quantize(256, method=Image.Quantize.FASTOCTREE)
    colours = np.reshape(palette.getpalette(), (-1, 3))
    colours[colours.sum(axis=1).argmax()] = 255
    palette.putpalette(colours.ravel().tolist())
    buffer = BytesIO()
    image.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG).save(buffer, "png", optimize=True)
    return buffer.getvalue()
