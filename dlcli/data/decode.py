"""One picture file to bytes of a given size, by rules that say what becomes of odd pictures.

    16 bits, floats      16-bit grey is divided by 257; floats must lie in [0, 1]; anything else cannot be read
    palette, CMYK, ...   converted to red, green and blue, or to grey (ITU-R BT.601) where one channel is asked for
    transparency         laid on white
    EXIF orientation     turned upright
    several frames       the first one
    size                 scaled (antialiased) until both sides cover the wanted ones, then cut to the middle
    too large            more pixels than Pillow's limit against decompression bombs cannot be read

Needs neither torch nor the rest of the package, so that worker processes start fast.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

FORMATS = ("JPEG", "PNG", "BMP", "GIF", "TIFF", "WEBP", "PPM")  # each read by Pillow itself; no other program is run
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm"})
ORIENTATION = 274  # the EXIF tag


class Unreadable(Exception):
    """A file that is no picture, or none that the rules cover."""


class Wanted(NamedTuple):
    """A picture file, and the form in which its pixels are wanted."""

    path: str
    height: int
    width: int
    channels: int  # 1 or 3


def decode(wanted: Wanted) -> np.ndarray:
    """Return the pixels of a file, (C, H, W) uint8. Raises Unreadable."""
    with opened(wanted.path) as picture:
        side = 2 * max(wanted.height, wanted.width)
        picture.draft(picture.mode, (side, side))  # a JPEG is decoded at the scale that is needed, and not less
        upright = ImageOps.exif_transpose(picture)
        plain = flat(upright).convert("L" if wanted.channels == 1 else "RGB")
        pixels = np.array(fitted(plain, wanted.height, wanted.width, Image.Resampling.BILINEAR))
    return np.ascontiguousarray(pixels.reshape(wanted.height, wanted.width, -1).transpose(2, 0, 1))  # (C, H, W)


def decode_whole(path: str, side: int, channels: int) -> np.ndarray:
    """Return the pixels of a picture whose shorter side is brought down to `side`, (C, H, W) uint8. Raises Unreadable.

    A picture that is smaller stays as it is.
    """
    with opened(path) as picture:
        picture.draft(picture.mode, (2 * side, 2 * side))
        plain = flat(ImageOps.exif_transpose(picture)).convert("L" if channels == 1 else "RGB")
        scale = min(1.0, side / min(plain.size))
        width, height = (round(length * scale) for length in plain.size)
        pixels = np.array(plain.resize((width, height), Image.Resampling.BILINEAR))
    return np.ascontiguousarray(pixels.reshape(height, width, -1).transpose(2, 0, 1))  # (C, H, W)


def decode_mask(path: str, height: int, width: int) -> np.ndarray:
    """Return the values of a mask, (H, W) uint8: grey levels, or indices into its palette. Raises Unreadable."""
    with opened(path) as picture:
        if picture.mode not in ("1", "L", "P"):
            raise Unreadable(f"a mask in {picture.mode}: store one value for each pixel, in grey or with a palette")
        grey = Image.fromarray(np.array(picture, dtype=np.uint8))
        return np.array(fitted(grey, height, width, Image.Resampling.NEAREST))


def oddities(path: str) -> list[str]:
    """Return what is unusual about a picture, from its header alone. Raises Unreadable."""
    with opened(path) as picture:
        found = {
            f"stored as {picture.mode}": picture.mode not in ("1", "L", "RGB", "P", "LA", "RGBA", "PA"),
            "transparent, laid on white": transparent(picture),
            "turned upright as EXIF says": picture.getexif().get(ORIENTATION, 1) != 1,
            "of several frames, the first taken": getattr(picture, "is_animated", False),
        }
    return [what for what, true in found.items() if true]


def size(path: str) -> tuple[int, int]:
    """Return height and width of a picture as stored. Raises Unreadable."""
    with opened(path) as picture:
        return picture.height, picture.width


@contextmanager
def opened(path: str) -> Iterator[Image.Image]:
    """Open a picture; whatever goes wrong with it becomes Unreadable, with the reason."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # damaged metadata
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Path(path).open("rb") as file, Image.open(file, formats=FORMATS) as picture:
                yield picture
    except Unreadable:
        raise
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise Unreadable(f"more than {Image.MAX_IMAGE_PIXELS:,} pixels: make it smaller") from error
    except Image.UnidentifiedImageError as error:
        raise Unreadable(f"its content is none of {', '.join(FORMATS)}") from error
    except Exception as error:  # a damaged file fails in a hundred ways, and only Pillow runs here
        reason = getattr(error, "strerror", None) or str(error).split("\n")[0][:120]
        raise Unreadable(reason or type(error).__name__) from error


def transparent(picture: Image.Image) -> bool:
    """Tell whether parts of a picture may be transparent."""
    return picture.mode in ("LA", "PA", "RGBA") or "transparency" in picture.info


def flat(picture: Image.Image) -> Image.Image:
    """Return a picture of bytes without transparency. Raises Unreadable."""
    if picture.mode.startswith(("I", "F")):
        return Image.fromarray(bytes_of(np.array(picture)))
    if transparent(picture):
        colours = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", colours.size, "white"), colours)
    return picture


def bytes_of(pixels: np.ndarray) -> np.ndarray:
    """Bring 16-bit whole numbers, or floats in [0, 1], to bytes. Raises Unreadable for other ranges."""
    top = 1.0 if pixels.dtype.kind == "f" else 65535
    if not (np.isfinite(pixels).all() and pixels.min() >= 0 and pixels.max() <= top):
        raise Unreadable(f"pixels from {pixels.min()} to {pixels.max()}: store 8 or 16 bits, or floats in [0, 1]")
    return (pixels.astype(np.float64) * (255 / top)).round().astype(np.uint8)


def fitted(picture: Image.Image, height: int, width: int, how: Image.Resampling) -> Image.Image:
    """Scale a picture until it covers height and width, and cut out the middle."""
    if (picture.height, picture.width) == (height, width):
        return picture
    scale = max(height / picture.height, width / picture.width)
    down, across = max(height, round(picture.height * scale)), max(width, round(picture.width * scale))
    top, left = (down - height) // 2, (across - width) // 2
    return picture.resize((across, down), how).crop((left, top, left + width, top + height))
