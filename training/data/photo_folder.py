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
_ON_DISK = re.compile(r".*[?&]d=([^&]+).*")  # Label Studio's address of a file on its own disk


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
        self._names: dict[str, str] = {}  # of the photos that were found
        self._by_name: dict[str, list[PurePosixPath]] = {}
        for path in photos_below(root):
            self._by_name.setdefault(path.name.casefold(), []).append(path)

    def find(self, name: str, place: Place) -> str:
        """The path of a photo: of those with its base name the one that agrees in the most folders before it.

        Args:
            name: As an annotation file has it.
            place: Where it is named, for errors.

        Raises:
            PlacedError: There is no such photo, there are several, or it was found for another name before.
        """
        meant = self.look_for(name)
        if not meant:
            others = [str(path) for path in self._alike(name)[0]]
            more = f", and {first_of(others)} is of another folder" if others else ""
            remedy = "Put it there, give the folder that holds both, or remove it."
            reason = f"there is no photo {name!r} below {self.root}{more}. {remedy}"
            raise PlacedError(reason, place)
        if len(meant) > 1:
            listed = first_of([os.path.relpath(path, self.root) for path in meant])
            raise PlacedError(f"the photo {name!r} may be {listed}, below {self.root}. Keep one of them.", place)
        before = self._names.setdefault(meant[0], name)
        if name_parts(before) != name_parts(name):
            reason = f"the photo {name!r} would be {meant[0]}, which is {before!r} already. Put it there, or remove it."
            raise PlacedError(reason, place)
        return meant[0]

    def look_for(self, name: str) -> list[str]:
        """Paths of the photos that a name may mean.

        Of those with its base name, or else with that name without the prefix of an upload or percent-encoding, they
        are the ones that agree in the most folders before it. One in another folder than the name says is another
        photo, unless the name is of a place that is not this folder's, such as the storage of a tool.
        """
        found, parts = self._alike(name)
        folders = [path.parts[:-1] for path in found]
        agreeing = [_agreement(folder, parts[:-1]) for folder in folders]
        best = [path for path, count in zip(found, agreeing, strict=True) if count == max(agreeing)]
        if parts[:-1] and not any(agreeing) and not _is_of_elsewhere(name):
            best = [path for path in best if len(path.parts) == 1]
        if len(best) > 1:
            best = [path for path in best if self._prefer in path.parts[:-1]] or best
        return [str(self.root / path) for path in best]

    def _alike(self, name: str) -> tuple[list[PurePosixPath], tuple[str, ...]]:
        """The photos with the base name of a name, and the parts of the name as they were found by."""
        written = name_parts(name)
        for parts in (written, name_parts(unquote("/".join(written)))):
            uploaded = _UPLOADED.fullmatch(parts[-1]) if parts else None
            found = self._named(parts[-1]) if parts else []
            found = found or (self._named(uploaded[1]) if uploaded else [])
            if found:
                return found, parts
        return [], written

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
    if match := _ON_DISK.fullmatch(plain):
        plain = unquote(match[1])
    elif "://" in plain:
        plain = unquote(plain.split("://", 1)[1].split("?")[0].split("#")[0])
    return tuple(part for part in plain.split("/") if part not in ("", "."))


def _is_of_elsewhere(name: str) -> bool:
    """Whether a name is an absolute path, one of folders above, an address, or of an upload: its folders say little."""
    plain = name.replace("\\", "/")
    if plain.startswith(("/", "../")) or "://" in plain or re.match("[A-Za-z]:/", plain) or _ON_DISK.fullmatch(plain):
        return True
    return _UPLOADED.fullmatch(plain.rsplit("/", 1)[-1]) is not None


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
