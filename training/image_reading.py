"""Photographs of people: from a path or from stored bytes to one tensor, with errors that say which photo it was."""

import io
import os
import struct
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

# All that Pillow raises on files that are damaged, cut short or no images at all.
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, Image.DecompressionBombError)
_EIGHT_BIT_MODES = ("RGB", "L", "P", "RGBA", "LA", "PA", "CMYK", "YCbCr", "1")


class ImageReadError(ValueError):
    """An image of the data that cannot be read; the message names the file and the row."""


def image_name(image: Any, row: int) -> str:
    """How messages call an image: its file where it has one, and always its row."""
    path = image.get("path") if isinstance(image, Mapping) else getattr(image, "filename", None)
    return f"{path} (row {row})" if path else f"the image of row {row}"


def read_image(image: Any, *, row: int, size: tuple[int, int] | None = None) -> Tensor:
    """Decode one image.

    Args:
        image: What `datasets.Image(decode=False)` gives, `{"bytes": ..., "path": ...}` with one of them, or a
            `PIL.Image.Image`. The pixels are taken as stored: a rotation flag (EXIF) is not applied.
        row: Row of the data, for messages.
        size: Width and height that the annotation states, to catch photos that are not the annotated ones.

    Returns:
        uint8 `(3, height, width)`, RGB. It may be a view whose channels lie innermost in memory.

    Raises:
        ImageReadError: The image is missing, damaged, not 8-bit or of another size.
    """
    name = image_name(image, row)
    try:
        with _open(image) as opened:
            mode, found = opened.mode, opened.size
            if mode in _EIGHT_BIT_MODES:
                pixels = np.array(opened if mode == "RGB" else opened.convert("RGB"))  # (h, w, 3)
    except _DAMAGE as error:
        raise ImageReadError(f"Cannot read {name}: {error}. Replace the file or remove its people.") from error
    if mode not in _EIGHT_BIT_MODES:
        raise ImageReadError(f"Cannot read {name}: expected 8 bits a channel, got mode {mode!r}. Convert it to RGB.")
    if size is not None and tuple(size) != found:
        raise ImageReadError(
            f"{name} has {found[0]}x{found[1]} pixels (width x height), its annotation says {size[0]}x{size[1]}. "
            "Use the annotated image; where a viewer turns it by its EXIF flag, store it turned."
        )
    return torch.from_numpy(pixels).permute(2, 0, 1)  # (h, w, 3) -> (3, h, w)


def read_image_size(image: Any, *, row: int) -> tuple[int, int]:
    """Width and height from the header alone; errors as [`read_image`]."""
    try:
        with _open(image) as opened:
            return opened.size
    except _DAMAGE as error:
        name = image_name(image, row)
        raise ImageReadError(f"Cannot read {name}: {error}. Replace the file or remove its people.") from error


def _open(image: Any) -> Image.Image:
    if isinstance(image, Image.Image):
        return image.copy()  # the caller closes what it gets
    if not isinstance(image, Mapping):
        raise ValueError(f"expected a PIL image or a mapping with bytes or path, got {type(image).__name__}")
    if image.get("bytes") is not None:
        return Image.open(io.BytesIO(image["bytes"]))
    if image.get("path") is None:
        raise ValueError("it has neither bytes nor a path")
    return Image.open(os.fspath(image["path"]))
