"""Photos below a folder, found by the names that annotation files have for them."""

import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from vitpose.base.errors import Place, PlacedError
from vitpose.base.names import first_of

from .images import read_image_size

_SUFFIXES = ".jpg .jpeg .jfif .mpo .png .bmp .webp .tif .tiff .jp2 .pgm .ppm .gif .avif"
PHOTO_SUFFIXES = tuple(_SUFFIXES.split())
_UPLOADED = re.compile("[0-9a-f]{8}-(.+)")  # Label Studio's name of an uploaded file


class PhotoFolder:
    """All photos below a folder. Names in files may be of other machines: their last parts say which photo is meant.

    Args:
        root: The folder; links below it are followed.
        prefer: Name of a folder whose photos are meant where others have the same name, such as that of the split.
    """

    def __init__(self, root: Path, *, prefer: str = "") -> None:
        self.root = root
        self._prefer = prefer
        self._sizes: dict[str, tuple[int, int]] = {}
        self._by_name: dict[str, list[PurePosixPath]] = {}
        for path in photos_below(root):
            self._by_name.setdefault(path.name.casefold(), []).append(path)

    def find(self, name: str, place: Place) -> str:
        """The path of a photo: of those with its base name the one that agrees in the most folders before it.

        Args:
            name: As an annotation file has it.
            place: Where it is named, for errors.

        Raises:
            PlacedError: There is no such photo, or there are several.
        """
        meant = self.look_for(name)
        if not meant:
            remedy = "Put it there, give the folder that holds both, or remove it."
            reason = f"there is no photo {name!r} below {self.root}. {remedy}"
            raise PlacedError(reason, place)
        if len(meant) > 1:
            listed = first_of([os.path.relpath(path, self.root) for path in meant])
            raise PlacedError(f"the photo {name!r} may be {listed}, below {self.root}. Keep one of them.", place)
        return meant[0]

    def look_for(self, name: str) -> list[str]:
        """Paths of the photos that a name may mean.

        Of those with its base name, or else with that name without the prefix of an upload, they are the ones that
        agree in the most folders before it.
        """
        parts = name_parts(name)
        if not parts:
            return []
        uploaded = _UPLOADED.fullmatch(parts[-1])
        found = self._named(parts[-1]) or (self._named(uploaded[1]) if uploaded else [])
        agreeing = [_agreement(path.parts[:-1], parts[:-1]) for path in found]
        best = [path for path, count in zip(found, agreeing, strict=True) if count == max(agreeing)]
        if len(best) > 1:
            best = [path for path in best if self._prefer in path.parts[:-1]] or best
        return [str(self.root / path) for path in best]

    def _named(self, base: str) -> list[PurePosixPath]:
        return self._by_name.get(base.casefold(), [])

    def size(self, path: str) -> tuple[int, int]:
        """Width and height of an upright photo, from its header.

        Raises:
            ImageReadError: The photo is damaged.
        """
        if path not in self._sizes:
            self._sizes[path] = read_image_size({"bytes": None, "path": path}, row=0)
        return self._sizes[path]


def photos_below(root: Path) -> Iterator[PurePosixPath]:
    """Paths of the photos below a folder, relative to it, in order; a folder that links lead back to is listed once."""
    seen = set()
    for folder, folders, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if name.lower().endswith(PHOTO_SUFFIXES) and not name.startswith("."):
                yield PurePosixPath(Path(folder, name).relative_to(root).as_posix())


def name_parts(name: str) -> tuple[str, ...]:
    """Folders and base name of a photo's name, which may be a path of Windows, an address or a query of one."""
    plain = name.replace("\\", "/")
    if match := re.fullmatch(r".*[?&]d=([^&]+).*", plain):  # Label Studio's files on its own disk
        plain = unquote(match[1])
    elif "://" in plain:
        plain = unquote(plain.split("://", 1)[1].split("?")[0].split("#")[0])
    return tuple(part for part in plain.split("/") if part not in ("", "."))


def inside(root: Path, path: Path, place: Place) -> Path:
    """The path without `..`, which lies below the root.

    Raises:
        PlacedError: It leads outside.
    """
    plain = Path(os.path.normpath(path))
    if not plain.is_relative_to(os.path.normpath(root)):
        reason = f"{str(path)!r} leads outside the data folder {root}. Give the folder that holds both, or correct it."
        raise PlacedError(reason, place)
    return plain


def _agreement(path: tuple[str, ...], name: tuple[str, ...]) -> int:
    """How many parts agree, from the end."""
    count = 0
    for own, other in zip(reversed(path), reversed(name), strict=False):
        if own.casefold() != other.casefold():
            break
        count += 1
    return count
