"""AI Challenger: its own JSON, and the same in COCO's layout."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset

from vitpose.base.errors import Place, PlacedError
from vitpose.modeling.keypoint_schemas import KeypointSchema

from ...metrics.crowdpose import BOX_SHARE
from ..columns import people_table, photo_sizes
from .coco import coco_people, read_slim_json
from .coco_entries import Item, check_fields, parse_coco

_FIELDS = ("image_id", "human_annotations", "keypoint_annotations")
_FLAGS = {1: 2, 2: 1, 3: 0}  # visible, hidden, absent there: 2, 1, 0 here


def read_aic(
    annotation_file: Path, image_dir: Path, *, schema: KeypointSchema, min_keypoints: int, everyone: bool
) -> Dataset:
    """Read AI Challenger, 14 keypoints, from either kind of file.

    In its own list photos have names instead of numbers and no size: they are numbered in the order of the file, from
    1, and the sizes come from the photos' headers.

    Args:
        annotation_file: Such as `keypoint_train_annotations_20170909.json` or, in COCO's layout, `aic_train.json`.
        image_dir: Folder of the photos.
        schema: The 14 keypoints.
        min_keypoints: People with fewer labeled keypoints are left out.
        everyone: Keep everyone.
    """
    content = read_slim_json(annotation_file)
    if isinstance(content, dict):
        file = parse_coco(content, annotation_file, schema=schema)
        return coco_people(
            file, image_dir, schema=schema, min_keypoints=min_keypoints, everyone=everyone, box_share=BOX_SHARE
        )
    if not isinstance(content, list):
        raise ValueError(f"{annotation_file} is not of AI Challenger: expected a list or COCO's layout.")
    people = list(_people(content, annotation_file))
    files = [os.path.join(image_dir, f"{person['photo']}.jpg") for person in people]
    width, height = photo_sizes(files).T
    names = ("image_id", "bbox", "area", "keypoints")
    columns: dict[str, Any] = {name: [person[name] for person in people] for name in names}
    columns |= {"person_id": range(1, len(people) + 1), "width": width, "height": height}
    return people_table(
        columns,
        files,
        schema=schema,
        dataset="aic",
        source=annotation_file,
        place_of=lambda row: (str(annotation_file), f"image {people[row]['photo']}", people[row]["name"]),
        min_keypoints=min_keypoints,
        everyone=everyone,
    )


def _people(photos: list[Any], path: Path) -> Iterator[Item]:
    """Convert the people of each photo, `human1` and so on, to the common fields."""
    seen: set[str] = set()
    for number, photo in enumerate(photos, start=1):
        check_fields(photo, "image", _FIELDS, path, number - 1)
        name = photo["image_id"]
        place = (str(path), f"image {name}")
        if name in seen:
            raise PlacedError("occurs twice: expected each image once. Join its entries.", place, " ")
        seen.add(name)
        boxes, keypoints = photo["human_annotations"], photo["keypoint_annotations"]
        if boxes.keys() != keypoints.keys():
            odd = sorted(boxes.keys() ^ keypoints.keys())
            raise PlacedError(f"{odd} have a box or keypoints, expected both. Remove them.", place)
        for human, box in boxes.items():
            xywh = _box(box, (*place, human))
            area = BOX_SHARE * xywh[2] * xywh[3]
            flagged = _keypoints(keypoints[human], (*place, human))
            yield {"photo": name, "name": human, "image_id": number, "bbox": xywh, "area": area, "keypoints": flagged}


def _box(corners: Any, place: Place) -> list[float]:
    if not isinstance(corners, list) or len(corners) != 4:
        raise PlacedError(f"expected a box of four numbers [x1, y1, x2, y2], got {corners!r}.", place)
    x1, y1, x2, y2 = corners
    return [x1, y1, x2 - x1, y2 - y1]


def _keypoints(values: Any, place: Place) -> np.ndarray:
    """(k, 3), visibility as COCO has it."""
    try:
        keypoints = np.array(values, dtype=np.float64).reshape(-1, 3)
    except (TypeError, ValueError) as error:
        raise PlacedError(f"expected keypoints as x, y, v, got {values!r}.", place) from error
    flags = keypoints[:, 2].copy()
    if not np.isin(flags, list(_FLAGS)).all():
        raise PlacedError(f"a visibility other than 1, 2 or 3: {flags.tolist()}. Correct or remove it.", place)
    for theirs, ours in _FLAGS.items():
        keypoints[flags == theirs, 2] = ours
    return keypoints
