"""Files read with errors that name them, files and folders that are whole or absent, and the packaged checkpoint."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

# A tiny ViTPose trained on generated people, which ships inside the package.
TINY_CHECKPOINT = str(Path(__file__).resolve().parent.parent / "checkpoints" / "tiny")
_LONG_NAME = 220  # bytes of a file's name; file systems take 255
WEIGHT_FILES = (".pth", ".pt", ".bin", ".ckpt", ".safetensors")


def read_json(path: str | os.PathLike[str], *, object_hook: Callable[[dict[str, Any]], Any] | None = None) -> Any:
    """Read the content of a JSON file.

    Args:
        path: The file.
        object_hook: Called with each object while the file is parsed; what it returns takes the object's place.

    Raises:
        ValueError: The file is missing, or is not JSON; the message names it.
    """
    if not Path(path).is_file():
        raise ValueError(f"There is no file {os.fspath(path)}. Check the path.")
    try:
        with Path(path).open("rb") as opened:
            encoding = json.detect_encoding(opened.read(4))  # programs of Windows write a mark, or UTF-16
        return json.loads(Path(path).read_text(encoding=encoding), object_hook=object_hook)
    except ValueError as error:  # damaged JSON, or bytes that are no text
        raise ValueError(f"{os.fspath(path)} is not valid JSON, perhaps an unfinished file: {error}.") from error


def read_boxes(path: str | os.PathLike[str], key: str) -> dict[Any, list[Any]]:
    """Read people's boxes from a JSON file, a list of `{key: ..., "bbox": [x, y, width, height]}`.

    Args:
        path: The file.
        key: What says where a box belongs, such as `"file_name"`.

    Returns:
        The boxes of each value of the key, as they are in the file.

    Raises:
        ValueError: The file is something else; the message names it.
    """
    entries, boxes = read_json(path), dict[Any, list[Any]]()
    for entry in entries if isinstance(entries, list) else [None]:
        if not isinstance(entry, dict) or isinstance(entry.get(key, []), (list, dict)) or "bbox" not in entry:
            raise ValueError(
                f'{os.fspath(path)}: expected a list of {{"{key}": ..., "bbox": [x, y, width, height]}}, got '
                f"{json.dumps(entries)[:60]}."
            )
        boxes.setdefault(entry[key], []).append(entry["bbox"])
    return boxes


@contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Write a file in full or not at all: yields a partial path that is renamed to `path` when the block succeeds.

    Parent folders are created. When the block raises, the partial file is removed and an older file at `path` stays.
    """
    final = Path(path)
    final.parent.mkdir(parents=True, exist_ok=True)
    partial = partial_path(final)
    try:
        yield partial
        os.replace(partial, final)
    finally:
        partial.unlink(missing_ok=True)


def partial_path(final: Path) -> Path:
    """Where a process writes a file before it is whole: beside it, hidden, of the same ending, in a name that fits."""
    stem = final.stem if len(os.fsencode(final.name)) < _LONG_NAME else sha256(os.fsencode(final.stem)).hexdigest()[:32]
    return final.with_name(f".{stem}.{os.getpid()}.partial{final.suffix}")


@contextmanager
def whole_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Write a folder in full or not at all: yields a partial folder that is renamed when the block succeeds.

    Raises:
        FileExistsError: `path` exists already, and is not an empty folder.
    """
    final = Path(path)
    if final.exists() and (not final.is_dir() or any(final.iterdir())):
        raise FileExistsError(f"{final} exists already: choose another folder, or delete it.")
    partial = final.with_name(f".{final.name}.{os.getpid()}.partial")
    partial.mkdir(parents=True)
    try:
        yield partial
        os.replace(partial, final)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
