"""Decoding of photos from a path or from stored bytes to a tensor, with errors that name the photo."""

import io
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from PIL import ExifTags, Image
from torch import Tensor

from vitpose.base.errors import Place, PlacedError
from vitpose.processing.images_vitpose import cut_to_region, to_rgb_tensor, upright_pil

# All that Pillow raises on files that are damaged, cut short or no images at all.
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, Image.DecompressionBombError)
_SIDEWAYS = (5, 6, 7, 8)  # EXIF orientations that exchange width and height
# Cameras write the orientation into these. Pillow states the turned size of a TIFF, and would decode a PNG to look.
_TURNED_FORMATS = ("JPEG", "MPO", "WEBP")


class ImageReadError(PlacedError):
    """An image of the data that cannot be read; its place is the file and the row."""


def read_image(image: Any, *, row: int, size: tuple[int, int]) -> Tensor:
    """Decode an image and apply its EXIF orientation, as `datasets` and the image processor do.

    Args:
        image: What `datasets.Image(decode=False)` gives, `{"bytes": ..., "path": ...}` with one of them, or a
            `PIL.Image.Image`.
        row: Row of the data, for messages.
        size: Width and height that the annotation states, to catch photos that are not the annotated ones.

    Returns:
        RGB `(3, height, width)`, uint8, or float32 in 0..255 where the file has more than 8 bits. It may be a view
        whose channels lie innermost in memory.

    Raises:
        ImageReadError: The image is missing, damaged or of another size.
    """
    return read_region(image, row=row, size=size, region=(0, 0, *size))


def read_region(
    image: Any, *, row: int, size: tuple[int, int], region: Sequence[int], do_rescale: bool = True
) -> Tensor:
    """Decode a region of an image; errors as [`read_image`].

    Args:
        image: As for [`read_image`].
        row: As for [`read_image`].
        size: As for [`read_image`].
        region: Left, top, right and bottom (exclusive) in image pixels.
        do_rescale: As of `to_rgb_tensor`.

    Returns:
        The pixels of the region as [`read_image`] has them.
    """
    left, top, right, bottom = region
    with _opened(image, row) as opened:
        upright = upright_pil(opened)
        assert upright is not None  # it was opened by Pillow
        width, height = upright.size
        part, (x, y) = cut_to_region(upright, region)
        pixels = to_rgb_tensor(part, do_rescale=do_rescale)
    if (width, height) != tuple(size):
        raise ImageReadError(
            f"expected {size[0]}x{size[1]} pixels (width x height) as its annotation says, got {width}x{height}. Use "
            "the annotated image.",
            _place(image, row),
        )
    return pixels[:, top - y : bottom - y, left - x : right - x]


def read_image_size(image: Any, *, row: int) -> tuple[int, int]:
    """Read width and height from the header alone; `image`, `row` and errors as [`read_image`]."""
    with _opened(image, row) as opened:
        if opened.format not in _TURNED_FORMATS:
            return opened.size
        sideways = opened.getexif().get(ExifTags.Base.Orientation) in _SIDEWAYS
        return opened.size[::-1] if sideways else opened.size


@contextmanager
def _opened(image: Any, row: int) -> Iterator[Image.Image]:
    try:
        if isinstance(image, Image.Image):
            yield image
            return
        with Image.open(_file_of(image)) as opened:
            yield opened
    except _DAMAGE as error:
        reason = f"the image cannot be read: {error}. Replace it or remove its people."
        raise ImageReadError(reason, _place(image, row)) from error


def _file_of(image: Any) -> Any:
    if not isinstance(image, Mapping):
        raise ValueError(f"expected a PIL image or a mapping with bytes or path, got {type(image).__name__}")
    if image.get("bytes") is not None:
        return io.BytesIO(image["bytes"])
    if image.get("path") is None:
        raise ValueError("it has neither bytes nor a path")
    return image["path"]


def _place(image: Any, row: int) -> Place:
    path = image.get("path") if isinstance(image, Mapping) else None
    return (str(path), f"row {row}") if path else (f"row {row}",)
