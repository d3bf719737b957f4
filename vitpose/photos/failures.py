"""The report of photos that a run has no predictions of."""

import csv
import logging
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TextIO

from .reading import Unreadable

logger = logging.getLogger(__name__)

FAILURES = "failed.csv"
_MOST_TOLD = 10  # of them on the screen


class Failures(AbstractContextManager["Failures"]):
    """`failed.csv`, a row a photo that could not be predicted; the file is begun with the first of them.

    Args:
        out: Folder of the run; what a run before reported is removed, as these photos are tried again.

    Attributes:
        count: How many there are.
    """

    def __init__(self, out: Path) -> None:
        self.path = out / FAILURES
        self.count = 0
        self._file: TextIO | None = None

    def __enter__(self) -> "Failures":
        self.path.unlink(missing_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, failure: Unreadable) -> None:
        """Report one."""
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("w", encoding="utf-8", newline="")
            csv.writer(self._file, lineterminator="\n").writerow(["image", "error"])
        csv.writer(self._file, lineterminator="\n").writerow([failure.source.name, failure.reason])
        self._file.flush()
        self.count += 1
        if self.count <= _MOST_TOLD:
            logger.warning("%s: %s.", failure.source.place, failure.reason)
        elif self.count == _MOST_TOLD + 1:
            logger.warning("Further photos that fail are in %s alone.", self.path)
