"""Pictures of the documentation and of the tutorials, in a third of their size."""

from io import BytesIO

from PIL import Image

__all__ = ["with_palette"]


def with_palette(png: bytes) -> bytes:
    """Return a PNG with 256 colours, dithered: without it, colour bars have steps."""
    image = Image.open(BytesIO(png)).convert("RGB")
    palette = image.quantize(256, method=Image.Quantize.MEDIANCUT)
    buffer = BytesIO()
    image.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG).save(buffer, "png", optimize=True)
    return buffer.getvalue()
