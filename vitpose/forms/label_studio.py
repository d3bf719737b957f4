"""Tasks of Label Studio with predictions to correct, and the labeling configuration that shows them."""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

from vitpose.modeling.keypoint_schemas import KeypointSchema
from vitpose.modeling.keypoint_sides import keypoint_sides
from vitpose.processing.drawing_strokes import SIDE_COLORS
from vitpose.processing.people_vitpose import People

from ..base.files import whole_file
from .base import Numbers, Photo, Source, Write, json_list, text_file

LOCAL_FILES = "/data/local-files/?d="  # where Label Studio serves the files of its own machine


@contextmanager
def label_studio(out: Path, source: Source) -> Iterator[Write]:
    """`label_studio.json` with a task a photo, and `label_studio.xml`, the labeling configuration.

    Photos of addresses keep these. Others are named as Label Studio serves local files: relative to the folder above
    the photos', which has to be its document root, as it never serves the root itself.
    """
    labels, root = Numbers(first=0), source.folder.absolute().parent
    with text_file(out / "label_studio.json") as file:
        with json_list(file) as add:

            def write(photo: Photo, people: People) -> None:
                for label in people.labels:
                    labels(label)
                prediction = people.to_label_studio(photo.width, photo.height, model_version=source.model)
                task = {"data": {"image": _served(photo, root)}, "predictions": [prediction]}
                add(json.dumps(task, ensure_ascii=False))

            yield write
        file.write("\n")
    with whole_file(out / "label_studio.xml") as path:
        path.write_text(labeling_config(source.schema, list(labels.names) or [source.schema.category]), "utf-8")


def _served(photo: Photo, root: Path) -> str:
    """The photo's address: its own, or that of Label Studio's local files."""
    if isinstance(photo.place, str):
        return photo.place
    if photo.place is None:
        raise ValueError("Label Studio has a task a photo, and frames of a video are none: save them as photos first.")
    return LOCAL_FILES + quote(os.fsencode(photo.place.absolute().relative_to(root).as_posix()))


def labeling_config(schema: KeypointSchema, labels: Sequence[str]) -> str:
    """The configuration for rectangles of these labels, and the schema's keypoints in the colors of their sides.

    Each keypoint has its number, `model_index`, without which Label Studio does not export to COCO and YOLO.
    """
    lines = ["<View>", '  <RectangleLabels name="box" toName="image">']
    lines += [f"    <Label value={quoteattr(label)}/>" for label in labels]
    lines += ["  </RectangleLabels>", '  <KeyPointLabels name="keypoint" toName="image" strokeWidth="3">']
    for index, (name, side) in enumerate(zip(schema.keypoints, keypoint_sides(schema.keypoints), strict=True)):
        color = "#" + "".join(f"{value:02x}" for value in SIDE_COLORS[side])
        lines.append(f'    <Label value={quoteattr(name)} background="{color}" model_index="{index}"/>')
    lines += ["  </KeyPointLabels>", '  <Image name="image" value="$image"/>', "</View>"]
    return "\n".join(lines) + "\n"
