"""Files and folders that are either whole or absent: written beside their place, then renamed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Path to write to instead of `path`, with the same suffix; it takes the place of `path` when the block ends well.

    Folders are made as needed. When the block raises, what it wrote is removed and an older file at `path` stays.
    """
    final = Path(path)
    final.parent.mkdir(parents=True, exist_ok=True)
    partial = final.with_name(f".{final.stem}.{os.getpid()}.partial{final.suffix}")
    try:
        yield partial
        os.replace(partial, final)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Folder to write into instead of `path`; it becomes `path` when the block ends well, and vanishes when it raises.

    Raises:
        FileExistsError: There is something at `path` already.
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
