"""OpenPose's JSON: a file a photo or a frame."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vitpose.processing.people_vitpose import People

from .base import Photo, Source, Write, text_file


@contextmanager
def openpose(out: Path, _: Source) -> Iterator[Write]:
    """`openpose/NAME_keypoints.json`, bodies of 25 points; for people with arms and legs alone."""

    def write(photo: Photo, people: People) -> None:
        with text_file(out / "openpose" / f"{photo.stem}_keypoints.json") as file:
            json.dump(people.to_openpose(), file)

    yield write
