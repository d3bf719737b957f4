"""What a run has predicted so far: a line a photo as it is done, so that a run that was killed can go on.

`predictions.jsonl` has the lines and `run.json` beside it what they were predicted with. A line is written when all
else of its photo is, and nothing that stands in the file is ever changed: what a kill cuts off is the last line.
"""

import json
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, BinaryIO

from vitpose.modeling.keypoint_schemas import KeypointSchema
from vitpose.processing.people_vitpose import People

from ..base.files import read_json, whole_file
from ..forms.lines import people_of_line, people_to_line
from .sources import JOURNAL, PhotoSource

SETTINGS = "run.json"
_SYNC_EVERY = 1.0  # seconds of work that a machine without power may lose


def give_way(out: Path) -> None:
    """Make way for other lines than a journal's in a folder, if there is one.

    Raises:
        FileExistsError: Its run was not finished.
    """
    _check_finished(out)
    (out / SETTINGS).unlink(missing_ok=True)


def _has_lines(out: Path) -> bool:
    return (out / JOURNAL).is_file() and (out / JOURNAL).stat().st_size > 0


def _check_finished(out: Path) -> None:
    if not (_has_lines(out) and (out / SETTINGS).is_file()):
        return
    before = read_json(out / SETTINGS)
    if isinstance(before, dict) and before.get("finished") is False:
        raise FileExistsError(
            f"{out} has a run that was not finished: go on with it by --resume, choose another folder by --out, or "
            f"delete {out / JOURNAL}."
        )


def _lock(file: BinaryIO, path: Path) -> None:
    """Keep other processes from adding to the file as well; the lock goes with the process."""
    if sys.platform == "win32":
        return
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        raise FileExistsError(f"Another run is writing {path}. Wait for its end, or choose another folder.") from error
    except OSError:  # file systems without locks
        return


class Journal(AbstractContextManager["Journal"]):
    """The lines of a run; use it in a `with` block to add to them.

    Args:
        out: Folder of the run.
        settings: What decides on the predictions, as JSON has it. A run that goes on must have had the same; what is
            not given is as it was.
        resume: Go on with the run that the folder has, if any.

    Attributes:
        settings: All of the run.
        places: Where the line of each photo begins in the file, by the photo's name, in the order of the file.

    Raises:
        FileExistsError: The folder has a run that was not finished, and `resume` is False.
        ValueError: The run that is to go on had other settings, or its files are damaged; the message says which.
    """

    def __init__(self, out: Path, settings: Mapping[str, Any], *, resume: bool) -> None:
        self.path, self.settings = out / JOURNAL, json.loads(json.dumps(settings))
        self.places: dict[str, int] = {}
        self._settings_path = out / SETTINGS
        self._file: BinaryIO | None = None
        self._synced = 0.0
        self._end = 0
        if not _has_lines(out):
            return
        if resume:
            self._check_same(read_json(self._settings_path))
            self._end = self._read_places()
        else:
            _check_finished(out)

    def _check_same(self, before: Any) -> None:
        """Raise a ValueError that names what is different to the run before."""
        known = before.get("settings") if isinstance(before, dict) else None
        if not isinstance(known, dict):
            raise ValueError(f"{self._settings_path} is not of a run of vitpose predict. Choose another folder.")
        for name, value in self.settings.items():
            if known.get(name) != value:
                raise ValueError(
                    f"{name}: expected {json.dumps(known.get(name))}, as in the run to resume in {self.path.parent}, "
                    f"got {json.dumps(value)}. Give the same, or choose another folder."
                )
        self.settings = known | self.settings

    def _read_places(self) -> int:
        """Find the lines; returns where the last whole one ends."""
        place = 0
        with self.path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if not line.endswith(b"\n"):  # cut off by the end of the run
                    break
                try:
                    name = json.loads(line)["file_name"]
                except (ValueError, TypeError, KeyError) as error:
                    if not file.read(1):  # nothing follows: blocks that had no content yet when power failed
                        break
                    raise ValueError(f"{self.path}: line {number} is damaged. Delete it, and resume.") from error
                if name in self.places:
                    raise ValueError(f"{self.path}: line {number} is the second one of {name}. Delete one, and resume.")
                self.places[name] = place
                place += len(line)
        return place

    def __enter__(self) -> "Journal":
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.touch()
        self._file = self.path.open("r+b")
        _lock(self._file, self.path)  # before anything is changed: another run may be at work
        if self._end:
            self.places.clear()
            self._end = self._read_places()  # a run that has ended since may have added some
        self._file.truncate(self._end)  # lines of a run before must never stand beside the settings of this one
        self.tell(finished=False)
        self._file.seek(self._end)
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._sync()
            self._file.close()
            self._file = None

    def tell(self, *, finished: bool, **facts: Any) -> None:
        """Write into `run.json` whether everything is done, and what else is known of the run."""
        content = {"settings": self.settings, "finished": finished, **facts}
        with whole_file(self._settings_path) as path:
            path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    def add(self, name: str, width: int, height: int, people: People) -> None:
        """Add a photo: its name, its size in pixels, and its people. It outlives the process from here on."""
        assert self._file is not None
        line = {"file_name": name, "width": width, "height": height, "people": people_to_line(people)}
        content = json.dumps(line).encode() + b"\n"
        self._file.write(content)
        self._file.flush()
        self.places[name] = self._end
        self._end += len(content)
        if time.monotonic() - self._synced > _SYNC_EVERY:
            self._sync()

    def _sync(self) -> None:
        assert self._file is not None
        os.fsync(self._file.fileno())
        self._synced = time.monotonic()

    def read(
        self, photos: Iterable[PhotoSource], schema: KeypointSchema
    ) -> Iterator[tuple[int, PhotoSource, tuple[int, int], People]]:
        """Those of the photos that have a line: number among them all, photo, width and height, people."""
        with self.path.open("rb") as file:
            for number, photo in enumerate(photos):
                if photo.name in self.places:
                    file.seek(self.places[photo.name])
                    line = json.loads(file.readline())
                    yield number, photo, (line["width"], line["height"]), people_of_line(line["people"], schema)
