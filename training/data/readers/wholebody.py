"""COCO-WholeBody and Halpe: files in COCO's layout whose people have more keypoints than a body."""

from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset

from vitpose.modeling.keypoint_schemas import KeypointSchema

from .coco import coco_people, read_slim_json
from .coco_entries import Item, parse_coco

_PARTS = ("keypoints", "foot_kpts", "face_kpts", "lefthand_kpts", "righthand_kpts")  # 17 + 6 + 68 + 21 + 21
_VALID = ("foot_valid", "face_valid", "lefthand_valid", "righthand_valid")


def read_wholebody(annotation_file: Path, image_dir: Path, *, schema: KeypointSchema, **choices: Any) -> Dataset:
    """Read COCO-WholeBody: body, feet, face and hands of a person joined to 133 keypoints.

    Some keypoints have a fraction for their visibility, which means labeled (the dataset's description of its
    format): it becomes 1. Four further columns say whether each part was labeled at all.

    Args:
        annotation_file: Such as `coco_wholebody_train_v1.0.json`.
        image_dir: COCO's photos.
        schema: The 133 keypoints.
        **choices: `min_keypoints` and `everyone`, as `read_coco` has them.
    """
    file = parse_coco(read_slim_json(annotation_file), annotation_file, schema=schema)
    required = (*_PARTS[1:], *_VALID)
    return coco_people(file, image_dir, schema=schema, required=required, keypoints_of=_all_parts, **choices)


def _all_parts(person: Item) -> np.ndarray | list[Any]:
    try:
        keypoints = np.array(list(chain.from_iterable(person[part] for part in _PARTS)))
        flags = keypoints[2::3]
        flags[(flags > 0) & (flags < 1)] = 1
    except (TypeError, ValueError):  # no lists of numbers: refused by name later
        return [person[part] for part in _PARTS]
    return keypoints


def read_halpe26(annotation_file: Path, image_dir: Path, *, schema: KeypointSchema, **choices: Any) -> Dataset:
    """Read Halpe: the first 26 of its 136 keypoints, body and feet; face and hands follow them in the files.

    Arguments as [`read_wholebody`]; the file is such as `halpe_train_v1.json`.
    """
    file = parse_coco(read_slim_json(annotation_file), annotation_file, schema=schema)
    return coco_people(file, image_dir, schema=schema, keypoints_of=_body_and_feet, **choices)


def _body_and_feet(person: Item) -> Any:
    keypoints = person["keypoints"]
    return keypoints[: 3 * 26] if len(keypoints) == 3 * 136 else keypoints
