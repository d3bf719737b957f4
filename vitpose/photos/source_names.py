"""What sources are called in the files that are made of them: names that keep them apart, below their common folder."""

import os
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

LONGEST_STEM = 200  # bytes of a file's name without what we add, such as _keypoints.json; file systems take 255
_LONGEST_NAME = 120  # characters of a part of an address that becomes the name of a file


def natural_order(name: str) -> tuple[list[str | int], str]:
    """A key that sorts numbers in names by their value, 2 before 10."""
    parts = re.split(r"(\d+)", name)  # numbers alternate with what stands between them
    return [int(part) if place % 2 else part.casefold() for place, part in enumerate(parts)], name


def common_folder(folders: Sequence[str]) -> str | None:
    """The deepest folder that holds all of these absolute paths; None where there is none."""
    try:
        return os.path.commonpath(folders) if folders else None
    except ValueError:  # several drives of Windows
        return None


def name_below(path: str, folder: str | None) -> str:
    """A path below a folder, or where None the whole path, with `/` and without bytes that are no text."""
    if folder is not None:
        name = Path(os.path.relpath(path, folder)).as_posix()
    else:
        drive, rest = os.path.splitdrive(path)
        name = drive.strip(":\\/") + Path(rest).as_posix()
    return as_text(name).lstrip("/")


def as_text(name: str) -> str:
    """A file's name, which may have bytes that are no text, as one that can be written into files."""
    return os.fsencode(name).decode("utf-8", "replace")


def address_names(addresses: Sequence[str]) -> dict[str, str]:
    """Of each address what comes after the folders that all of them share, in characters that files may have."""
    parts = []
    for address in addresses:
        split = urlsplit(address)
        words = [split.netloc.rpartition("@")[2], *unquote(split.path).split("/")]  # without a password
        cleaned = (re.sub(r"[^\w.=-]+", "_", word)[-_LONGEST_NAME:].lstrip(".") for word in words)
        parts.append([word for word in cleaned if word])
    shared = len(os.path.commonprefix([own[:-1] for own in parts])) if parts else 0
    return {address: "/".join(own[shared:]) or "address" for address, own in zip(addresses, parts, strict=True)}


def numbered(names: Sequence[str]) -> list[str]:
    """The names, of which a later one that was there before gets a number in front of its ending."""
    return _apart(names, lambda name: name)


def stems_of(names: Sequence[str]) -> list[str]:
    """The names without their endings; those that would be alike then, for Windows and macOS too, keep them."""
    names = [short_name(name) for name in names]
    short = [str(PurePosixPath(name).with_suffix("")) for name in names]
    count = Counter(stem.casefold() for stem in short)
    own = [stem if count[stem.casefold()] == 1 else name for name, stem in zip(names, short, strict=True)]
    return _apart(own, str.casefold)


def short_name(name: str) -> str:
    """A path whose parts leave room for what is added to them; of a long one the beginning and the ending are kept."""
    return "/".join(part if len(part.encode()) <= LONGEST_STEM else _shortened(part) for part in name.split("/"))


def _shortened(part: str) -> str:
    stem, ending = os.path.splitext(part)
    ending = ending if len(ending.encode()) < LONGEST_STEM else ""
    return stem.encode()[: LONGEST_STEM - len(ending.encode())].decode("utf-8", "ignore") + ending


def _apart(names: Sequence[str], key: Callable[[str], str]) -> list[str]:
    seen: set[str] = set()
    chosen = []
    for name in names:
        stem, ending = os.path.splitext(name)
        own, number = name, 1
        while key(own) in seen:
            number += 1
            own = f"{stem}_{number}{ending}"
        seen.add(key(own))
        chosen.append(own)
    return chosen
