"""YOLO-pose: a text file a photo, and the description of all."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vitpose.processing.people_vitpose import People

from .base import Numbers, Photo, Source, Write, text_file


@contextmanager
def yolo(out: Path, source: Source) -> Iterator[Write]:
    """`yolo/labels/NAME.txt` and `yolo/data.yaml`; the photos themselves have to be put into `yolo/images`."""
    classes = Numbers(first=0)

    def write(photo: Photo, people: People) -> None:
        with text_file(out / "yolo" / "labels" / f"{photo.stem}.txt") as file:
            own = [classes(label) for label in people.labels]
            file.write(people.to_yolo(photo.width, photo.height, class_ids=own))

    yield write
    if not classes.names:
        classes(source.schema.category)
    with text_file(out / "yolo" / "data.yaml") as file:
        names = {number: name for name, number in classes.names.items()}
        # Ultralytics refuses a file without val, and nobody has said yet which photos are whose
        file.write("train: images\n")
        file.write("val: images  # the photos of train, since both are asked for: divide them before you train\n")
        file.write(f"kpt_shape: [{source.schema.num_keypoints}, 3]\n")
        file.write(f"flip_idx: {list(source.schema.flip_index)}\n")
        file.write("names:\n" + "".join(f"  {number}: {json.dumps(name)}\n" for number, name in names.items()))
        file.write("kpt_names:\n")
        for number in names:
            file.write(f"  {number}: {json.dumps(list(source.schema.keypoints), ensure_ascii=False)}\n")
