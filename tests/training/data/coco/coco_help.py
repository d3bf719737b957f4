"""Generated people in COCO's own form, and changes to it."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from vitpose.data import read_coco
from vitpose.modeling.keypoint_schemas import KeypointSchema

NAMES = ("nose", "left_wrist", "right_wrist", "left_ankle", "right_ankle")


LINES = [[1, 2], [1, 3], [2, 4]]


OTHER = {"id": 9, "image_id": 1, "category_id": 9, "bbox": [1, 2, 40, 30], "area": 1200, "iscrowd": 0}


NOTHING = object()


Person = dict


Content = dict


def flat(person: Person) -> list[float]:
    return person["keypoints"].ravel().tolist()


def tight(person: Person) -> list[float]:
    points = person["keypoints"][person["keypoints"][:, 2] > 0, :2]
    return [*points.min(0).tolist(), *np.ptp(points, axis=0).tolist()]


def padded(person: Person) -> list[float]:
    left, top, width, height = tight(person)
    margin = max(width, height) / 10
    return [left - margin, top - margin, width + 2 * margin, height + 2 * margin]


def coco(people: list[Person], *, first: int = 1, **changes: Callable[[Person], object]) -> Content:
    """COCO's own form; each change gives a field of the annotations."""
    images, annotations = [], []
    for number, person in enumerate(people, start=first):
        width, height = person["size"]
        images.append({"id": number, "width": width, "height": height, "file_name": person["name"]})
        fields = {"keypoints": flat(person), "bbox": person["box"], "area": 500.0, "num_keypoints": 5, "iscrowd": 0}
        fields |= {name: change(person) for name, change in changes.items()}
        annotations.append({"id": number, "image_id": number, "category_id": 1, **fields})
    category = {"id": 1, "name": "person", "supercategory": "", "keypoints": list(NAMES), "skeleton": LINES}
    return {"images": images, "annotations": annotations, "categories": [category]}


def schema_of(names: tuple[str, ...] = NAMES) -> KeypointSchema:
    """A schema of the keypoints without anything else."""
    empty = {"flip_pairs": (), "upper_body": (), "lower_body": (), "edges": (), "sigmas": None}
    return KeypointSchema(name="mine", keypoints=names, joint_weights=(1.0,) * len(names), **empty)


def write(folder: Path, content: object, name: str = "people.json") -> Path:
    (folder / name).write_text(json.dumps(content))
    return folder / name


def read_changed(workplace, tmp_path, change: Callable[[Content], object], **choices):
    """Read COCO's own form after a change, which may return the whole text of the file."""
    folder, people = workplace
    content = coco(people)
    changed = change(content)
    file = tmp_path / "people.json"
    file.write_bytes(changed) if isinstance(changed, bytes) else write(tmp_path, content)
    return read_coco(file, folder, **{"schema": schema_of(), **choices})


def each(field: str, change: Callable[[object], object], *, of: str = "annotations") -> Callable[[Content], None]:
    """Change a field of all images or annotations."""

    def changed(content: Content) -> None:
        for entry in content[of]:
            entry[field] = change(entry.get(field))

    return changed


def first(entry: dict, *, of: str = "annotations") -> Callable[[Content], None]:
    """Change fields of the first image or annotation; None takes a field away."""

    def changed(content: Content) -> None:
        content[of][0] = {name: value for name, value in (content[of][0] | entry).items() if value is not NOTHING}

    return changed


def two_skeletons(content: Content) -> None:
    """A second category with keypoints of its own, and an annotation of it."""
    content["categories"].append({"id": 9, "name": "dog", "keypoints": ["snout", "tail"], "skeleton": [[1, 2]]})
    content["annotations"].append({**OTHER, "bbox": [1, 2, 90, 90], "keypoints": [9, 9, 2, 60, 60, 2]})
