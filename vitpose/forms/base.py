"""What a form is: a context that yields a function, which takes the people of photo after photo."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from vitpose.modeling.keypoint_schemas import KeypointSchema
from vitpose.processing.people_vitpose import People

from ..base.files import whole_file


@dataclass(frozen=True, kw_only=True)
class Photo:
    """One picture whose people are written.

    Args:
        number: Its number, from 0; of a frame, that in its video.
        name: What it is called, `/` between its folders; no other photo has the same. A frame has a name of its own.
        stem: What files made of it are called, without their ending; no other photo has the same.
        width: In pixels, upright.
        height: In pixels, upright.
        place: Its file or address; None for frames.
        video: The video's name, for frames.
    """

    number: int
    name: str
    stem: str
    width: int
    height: int
    place: Path | str | None = None
    video: str | None = None


@dataclass(frozen=True, kw_only=True)
class Source:
    """What all of a run's predictions share.

    Args:
        schema: The keypoints.
        model: What the model is called.
        folder: The folder that all photos of files are in, maybe deeper.
    """

    schema: KeypointSchema
    model: str = "vitpose"
    folder: Path = field(default_factory=Path)


Write = Callable[[Photo, People], None]
Form = Callable[[Path, Source], AbstractContextManager[Write]]
"""Opens a form in a folder. Its files appear when the block ends, and not at all where it raises; of forms with a file
a photo, each appears as soon as it is written."""


class Numbers:
    """Numbers of names, in the order in which they are first asked for.

    Args:
        first: The number of the first name.
    """

    def __init__(self, *, first: int) -> None:
        self._first = first
        self.names: dict[str, int] = {}

    def __call__(self, name: str) -> int:
        """The name's number."""
        return self.names.setdefault(name, self._first + len(self.names))


@contextmanager
def json_list(file: TextIO) -> Iterator[Callable[[str], None]]:
    """Write a JSON list item by item, each given as text, so that it is never whole in memory."""
    count = 0

    def write(item: str) -> None:
        nonlocal count
        file.write(("[\n " if count == 0 else ",\n ") + item)
        count += 1

    yield write
    file.write("\n]" if count else "[]")


@contextmanager
def text_file(path: Path) -> Iterator[TextIO]:
    """A text file that appears whole at its path when the block ends."""
    with whole_file(path) as partial, partial.open("w", encoding="utf-8", newline="\n") as file:
        yield file
