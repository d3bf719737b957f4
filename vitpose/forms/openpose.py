"""OpenPose's JSON: a file a photo or a frame."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vitpose.processing.people_vitpose import People

from .base import Photo, Source, Write, text_file


@contextmanager
def openpose(out: Path, source: Source) -> Iterator[Write]:
    """`openpose/NAME_keypoints.json`, bodies of 25 points.

    Raises:
        ValueError: The keypoints are not those of people with arms and legs; told before any work.
    """
    People.nobody(source.schema).to_openpose()

    def write(photo: Photo, people: People) -> None:
        with text_file(out / "openpose" / f"{photo.path.stem}_keypoints.json") as file:
            json.dump(people.to_openpose(), file)

    yield write
