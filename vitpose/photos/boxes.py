"""Boxes of people in photos, read from a file."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

from vitpose.processing.annotations_vitpose import parse_image_boxes

from ..base.errors import placed
from ..base.files import read_boxes
from .sources import PhotoSource

logger = logging.getLogger(__name__)

Boxes: TypeAlias = list[Any]
"""Of one photo, as they are in a file: rows [x, y, width, height]."""


def read_photo_boxes(path: Path, photos: Sequence[PhotoSource]) -> dict[str, Boxes]:
    """Read the boxes of each photo from a JSON file: a list of `{"file_name": ..., "bbox": [x, y, width, height]}`.

    A file name is the photo's name below the common folder of all, or without its folders where no other photo has the
    same. Entries of other files are left out, with a warning.

    Returns:
        The boxes by the names of photos.

    Raises:
        ValueError: The file is something else, or a photo has no entry; the message names it.
    """
    entries, boxes, missing = read_boxes(path, "file_name"), dict[str, Boxes](), []
    short: dict[str, list[str]] = {}
    for photo in photos:
        short.setdefault(Path(photo.name).name, []).append(photo.name)
    for photo in photos:
        base = Path(photo.name).name
        own = entries.pop(photo.name, None)
        if own is None and len(short[base]) == 1:
            own = entries.pop(base, None)
        if own is None:
            missing.append(photo.name)
            continue
        try:
            parse_image_boxes(own)
        except (TypeError, ValueError) as error:
            raise placed(error, str(photo.place)) from error
        boxes[photo.name] = own
    if missing:
        raise ValueError(f"{path} has no box for {', '.join(missing[:5])}. Add one, or leave these photos out.")
    if entries:
        rest = (path, len(entries), min(map(str, entries)))
        logger.warning("%s has boxes of files that are not among the photos (%d), such as %s.", *rest)
    return boxes
