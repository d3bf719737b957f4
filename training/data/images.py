"""Sizes of photos at a path or in stored bytes, and errors that carry the photo."""

import io
import struct
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from PIL import ExifTags, Image

from vitpose.base.errors import Place, PlacedError

# All that Pillow raises on files that are damaged, cut short or no images at all.
DAMAGE = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, Image.DecompressionBombError)
SIDEWAYS = (5, 6, 7, 8)  # EXIF orientations that exchange width and height
# Cameras write the orientation into these. Pillow states the turned size of a TIFF, and would decode a PNG to look.
_TURNED_FORMATS = ("JPEG", "MPO", "WEBP")


class ImageReadError(PlacedError):
    """An image of the data that cannot be read; its place is the file and the row."""


def read_image_size(image: Any, *, row: int) -> tuple[int, int]:
    """Read width and height from the header alone.

    Args:
        image: What `datasets.Image(decode=False)` gives, `{"bytes": ..., "path": ...}` with one of them, or a
            `PIL.Image.Image`.
        row: Row of the data, for messages.

    Raises:
        ImageReadError: The image is missing or damaged.
    """
    with _opened(image, row) as opened:
        if opened.format not in _TURNED_FORMATS:
            return opened.size
        sideways = opened.getexif().get(ExifTags.Base.Orientation) in SIDEWAYS
        return opened.size[::-1] if sideways else opened.size


@contextmanager
def _opened(image: Any, row: int) -> Iterator[Image.Image]:
    try:
        if isinstance(image, Image.Image):
            yield image
            return
        with Image.open(_file_of(image)) as opened:
            yield opened
    except DAMAGE as error:
        reason = f"the image cannot be read: {error}. Replace it or remove its people."
        raise ImageReadError(reason, place_of_image(image, row)) from error


def _file_of(image: Any) -> Any:
    if not isinstance(image, Mapping):
        raise ValueError(f"expected a PIL image or a mapping with bytes or path, got {type(image).__name__}")
    if image.get("bytes") is not None:
        return io.BytesIO(image["bytes"])
    if image.get("path") is None:
        raise ValueError("it has neither bytes nor a path")
    return image["path"]


def place_of_image(image: Any, row: int) -> Place:
    """The place of an image for errors: its file, where it has one, and its row."""
    path = image.get("path") if isinstance(image, Mapping) else None
    return (str(path), f"row {row}") if path else (f"row {row}",)
