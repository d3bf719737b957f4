"""Photos of users: read with care, and shown in the size of a screen."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from PIL import ExifTags, Image

from vitpose.processing.images_vitpose import to_rgb_photo

MAX_PIXELS = 50_000_000  # of a photo; a small file can hold a huge one
SCREEN_SIDE = 1280  # pixels of the longer side of what the page shows
MOST_ENLARGED = 3.0  # a small photo is enlarged, or lines drawn on it would be coarse
TURNED = (5, 6, 7, 8)  # values of EXIF's orientation by which width and height change places


@dataclass(frozen=True, kw_only=True)
class Photo:
    """A photo on disk and what the page shows of it.

    Args:
        path: Its file.
        size: Width and height, upright.
        preview: RGB, upright, of the size of a screen.
        key: Tells it from others that were opened.
    """

    path: Path
    size: tuple[int, int]
    preview: Image.Image
    key: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def scale(self) -> float:
        """Pixels of the preview in one of the photo."""
        return self.preview.width / self.size[0]


def open_photo(path: str | Path | None) -> Photo:
    """Open a photo to be shown; a large JPEG is read at a fraction of its size, which takes a fraction of the time.

    Raises:
        ValueError: There is no file, it is not an image, or it is larger than the demo takes.
    """
    file, image = _open(path)
    with image, _reading(file):
        turned = image.getexif().get(ExifTags.Base.Orientation) in TURNED
        size = (image.height, image.width) if turned else (image.width, image.height)
        scale = min(SCREEN_SIDE / max(size), MOST_ENLARGED)
        shown = (max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))
        image.draft("RGB", image.size if scale > 1 else (2 * SCREEN_SIDE, 2 * SCREEN_SIDE))
        preview = to_rgb_photo(image).resize(shown, Image.Resampling.LANCZOS, reducing_gap=2.0)
    return Photo(path=file, size=size, preview=preview)


def read_photo(path: str | Path | None) -> Image.Image:
    """A photo in full as RGB, turned upright as its EXIF data says.

    Raises:
        ValueError: As [`open_photo`].
    """
    file, image = _open(path)
    with image, _reading(file):
        return to_rgb_photo(image)


def _open(path: str | Path | None) -> tuple[Path, Image.Image]:
    """The file and its image, of which no pixel has been read."""
    if path is None:
        raise ValueError("There is no photo yet: upload one, take one with the webcam, or choose an example.")
    file = Path(path)
    with _reading(file):
        image = Image.open(file)
    if image.width * image.height > MAX_PIXELS:
        image.close()
        raise ValueError(
            f"{file.name} has {image.width} x {image.height} pixels, the demo takes {MAX_PIXELS:,}: make it smaller."
        )
    return file, image


@contextmanager
def _reading(file: Path) -> Iterator[None]:
    """Tell what Pillow cannot read by the name of its file."""
    try:
        yield
    except FileNotFoundError as error:
        raise ValueError(f"{file.name} is no longer here: upload it again.") from error
    except Exception as error:
        raise ValueError(f"{file.name} cannot be read as a photo: upload a JPEG, PNG or WebP file.") from error
