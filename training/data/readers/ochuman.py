"""OCHuman: its own ochuman.json, and the files in COCO's layout that come beside it."""

from pathlib import Path
from typing import Any

from datasets import Dataset

from vitpose.base.errors import Place, PlacedError
from vitpose.modeling.keypoint_schemas import KeypointSchema

from .coco import coco_people, read_slim_json
from .coco_entries import CocoFile, Item, check_fields, parse_coco

_IMAGE_FIELDS = ("image_id", "file_name", "width", "height", "annotations")
_FLAGS = {0: 0, 1: 2, 2: 2, 3: 1}  # missing, visible, hidden by oneself, hidden by others there; COCO's here
_VAL_PHOTOS = 2500  # the first of those with people to evaluate on; the others are the test split


def read_ochuman(
    annotation_file: Path, image_dir: Path, *, schema: KeypointSchema, part: str = "all", **choices: Any
) -> Dataset:
    """Read OCHuman, 17 keypoints as COCO's, for evaluation only.

    From `ochuman.json` come the people with both keypoints and an outline, as the dataset's own conversion to COCO's
    layout has them: photos in the order of their ids and numbered from 1 in each split, 2,500 of them for validation,
    the area that of the box.

    Args:
        annotation_file: `ochuman.json`, or such as `ochuman_coco_format_val_range_0.00_1.00.json`.
        image_dir: Folder of the photos.
        schema: The 17 keypoints.
        part: Photos of `ochuman.json` to read: `"val"`, `"test"` or `"all"`.
        **choices: `min_keypoints` and `everyone`, as `read_coco` has them.
    """
    content = read_slim_json(annotation_file)
    own = isinstance(content, dict) and "keypoint_names" in content
    file = (
        _as_coco(content, annotation_file, schema, part) if own else parse_coco(content, annotation_file, schema=schema)
    )
    return coco_people(file, image_dir, schema=schema, **choices)


def _as_coco(content: dict[str, Any], path: Path, schema: KeypointSchema, part: str) -> CocoFile:
    unknown = [name for name in schema.keypoints if name not in content["keypoint_names"]]
    if unknown:
        raise ValueError(f"{path} lacks the keypoints {unknown}: it has {content['keypoint_names']}.")
    for position, photo in enumerate(content.get("images", [])):
        check_fields(photo, "image", _IMAGE_FIELDS, path, position)
    labeled = [(photo, people) for photo in content.get("images", []) if (people := _labeled(photo, path))]
    labeled.sort(key=lambda pair: pair[0]["image_id"])
    chosen = {"val": labeled[:_VAL_PHOTOS], "test": labeled[_VAL_PHOTOS:], "all": labeled}[part]
    order = [content["keypoint_names"].index(name) for name in schema.keypoints]
    images: dict[int, Item] = {}
    annotations: list[Item] = []
    for number, (photo, people) in enumerate(chosen, start=1):
        images[number] = {**photo, "id": number}
        for person in people:
            place = (str(path), f"image {photo['image_id']}", "a person")
            annotations.append({"id": len(annotations) + 1, "image_id": number, **_converted(person, order, place)})
    return CocoFile(path=path, images=images, annotations=annotations, categories={})


def _labeled(photo: Item, path: Path) -> list[Item]:
    """Select the people with keypoints and an outline, as published results do."""
    for position, person in enumerate(photo["annotations"]):
        check_fields(person, f"image {photo['image_id']}, annotation", ("bbox", "keypoints", "segms"), path, position)
    return [person for person in photo["annotations"] if person["keypoints"] and person["segms"]]


def _converted(person: Item, order: list[int], place: Place) -> Item:
    """Convert box, area and keypoints to COCO's form."""
    values = list(person["keypoints"])
    try:
        triples = [values[3 * index : 3 * index + 3] for index in order]
        keypoints = [number for x, y, flag in triples for number in (x, y, _FLAGS[int(flag)])]
        x1, y1, x2, y2 = person["bbox"]
    except (KeyError, ValueError, TypeError) as error:
        raise PlacedError(
            f"expected a box [x1, y1, x2, y2] and keypoints x, y, v with v from 0 to 3, got {person['bbox']!r} and "
            f"{values!r}.",
            place,
        ) from error
    return {"bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1), "keypoints": keypoints}
