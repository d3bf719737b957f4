"""People and animals of annotation files in COCO's layout, with errors that carry the file and the entry."""

import logging
import os
from array import array
from collections.abc import Callable, Sequence
from contextlib import suppress
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset

from vitpose.base.errors import Place, PlacedError
from vitpose.base.files import read_json
from vitpose.modeling.keypoint_schemas import KeypointSchema
from vitpose.processing.people_forms_vitpose import PERSON_CATEGORY

from ..annotation_forms import check_suffix
from ..boxes import settle_boxes
from ..coco_categories import whole_number
from ..coco_numbers import box_table, keypoint_table, mark_fractions
from ..columns import people_table
from ..photos import complete_sizes, find_photos, settle_sizes
from .coco_entries import CocoFile, Item, drawn_rectangles, parse_coco, sort_entries

logger = logging.getLogger(__name__)

# Dropped while a file is parsed: outlines of people are most of COCO's files, and nobody here reads them.
_UNREAD = ("segmentation", "coco_url", "flickr_url", "date_captured", "license")
_NUMBER_LISTS = ("keypoints", "foot_kpts", "face_kpts", "lefthand_kpts", "righthand_kpts")
# columns that some files have, and what they are called there
_OF_PEOPLE = ("foot_valid", "face_valid", "lefthand_valid", "righthand_valid")


def read_coco(
    annotation_file: str | os.PathLike[str],
    image_dir: str | os.PathLike[str],
    *,
    schema: KeypointSchema,
    min_keypoints: int = 1,
    everyone: bool = False,
    dataset: str | None = None,
    box_share: float | None = None,
    category: str | None = None,
) -> Dataset:
    """Read a COCO keypoint annotation file. The photos stay on disk, and are checked to exist.

    Crowds, people with fewer than `min_keypoints` labeled keypoints and people with a box outside the image are left
    out, with their number in the log. To evaluate as COCO does, pass the annotation file itself to the metric.

    Files of annotation tools are read as they are; docs/datasets.md says what becomes of entries without keypoints,
    boxes that end at the keypoints, photos without a size and the like, of which the log tells, each once.

    Args:
        annotation_file: JSON in COCO layout, such as `person_keypoints_train2017.json`.
        image_dir: Folder of the photos; each `file_name` is relative to it.
        schema: The keypoints of the file.
        min_keypoints: People with fewer labeled keypoints are left out.
        everyone: Keep everyone.
        dataset: Name of the dataset; the schema's if None.
        box_share: Share of the box to take for the area; None takes the file's area.
        category: Name of the category to read, where several have keypoints of their own; None takes those whose
            keypoints are the schema's.

    Raises:
        ValueError: A file or folder is missing, the JSON is damaged, or an annotation is unusable; the message names
            the file and the annotation.
    """
    path = Path(annotation_file)
    check_suffix(path)
    file = parse_coco(read_slim_json(path), path, schema=schema, category=category)
    return coco_people(
        file,
        Path(image_dir),
        schema=schema,
        min_keypoints=min_keypoints,
        everyone=everyone,
        dataset=dataset,
        box_share=box_share,
    )


def coco_people(
    file: CocoFile,
    image_dir: Path,
    *,
    schema: KeypointSchema,
    min_keypoints: int,
    everyone: bool,
    dataset: str | None = None,
    box_share: float | None = None,
    required: Sequence[str] = (),
    keypoints_of: Callable[[Item], Any] = itemgetter("keypoints"),
) -> Dataset:
    """Convert the people of a parsed file.

    Args:
        file: Of a COCO layout.
        image_dir: As for [`read_coco`], and so are the next ones.
        schema: Keypoints of the people.
        min_keypoints: Least number of labeled keypoints.
        everyone: Leave nobody out.
        dataset: Name of the dataset, for messages.
        box_share: As for [`read_coco`].
        required: Fields that its annotations have beyond COCO's.
        keypoints_of: Returns the K x [x, y, v] of an annotation.
    """
    people, drawn = sort_entries(file, required)
    people, boxes, keypoints = _settled(people, drawn, file, schema, keypoints_of)
    columns, files = coco_columns(people, file, image_dir, boxes=boxes, keypoints=keypoints)
    columns["iscrowd"] = np.array([bool(person.get("iscrowd")) for person in people], dtype=np.int8)
    columns["area"] = _areas(people) if box_share is None else box_share * boxes[:, 2] * boxes[:, 3]
    return people_table(
        columns,
        files,
        schema=schema,
        dataset=dataset or schema.name,
        source=file.path,
        place_of=lambda row: (str(file.path), f"annotation {people[row]['id']}"),
        min_keypoints=min_keypoints,
        everyone=everyone,
    )


def _settled(
    people: list[Item], drawn: list[Item], file: CocoFile, schema: KeypointSchema, keypoints_of: Callable[[Item], Any]
) -> tuple[list[Item], np.ndarray, np.ndarray]:
    """Boxes `(n, 4)` and keypoints `(n, K, 3)` of people, without the people who have none after all."""

    def place_of(row: int) -> Place:
        return (str(file.path), f"annotation {people[row]['id']}")

    rows = [keypoints_of(person) for person in people]
    keypoints = keypoint_table(rows, schema, source=file.path, place_of=place_of)
    boxes = box_table([person.get("bbox") for person in people], place_of)
    lost = mark_fractions(keypoints, boxes, source=file.path)
    image_ids = [person["image_id"] for person in people]
    rectangles, joined = drawn_rectangles(drawn, file), file.tool == "Label Studio"
    lost |= settle_boxes(boxes, keypoints, image_ids, rectangles, joined=joined, source=file.path)
    if not lost.any():
        return people, boxes, keypoints
    return [person for person, out in zip(people, lost, strict=True) if not out], boxes[~lost], keypoints[~lost]


def _areas(people: Sequence[Item]) -> np.ndarray:
    """Areas `(n,)` as the file has them; NaN, for that of the box, where it has none, or 0."""
    values = [person.get("area") for person in people]
    try:
        areas = np.array(values, dtype=np.float64)
    except (TypeError, ValueError):
        areas = np.array([value if isinstance(value, (int, float)) else np.nan for value in values], dtype=np.float64)
    areas[areas == 0] = np.nan
    return areas


def read_slim_json(path: Path) -> Any:
    """Read a JSON file of annotations without what no reader uses, and with keypoints as packed numbers.

    A COCO file takes a fifth of the memory.

    Raises:
        ValueError: The file is missing or damaged.
    """
    return read_json(path, object_hook=_slim)


def _slim(item: Item) -> Item:
    for field in _UNREAD:
        item.pop(field, None)
    for field in _NUMBER_LISTS:
        if field in item:
            with suppress(TypeError):  # what holds no numbers stays for the check that can name its owner
                item[field] = array("d", item[field])
    return item


def coco_columns(
    items: list[Item], file: CocoFile, image_dir: Path, *, boxes: np.ndarray, keypoints: np.ndarray
) -> tuple[dict[str, Any], list[str]]:
    """Columns that annotations and results share, and the photo of each.

    Args:
        items: With id, image_id and perhaps category_id.
        file: Their file.
        image_dir: Folder of the photos.
        boxes: `(n, 4)`.
        keypoints: `(n, K, 3)`.

    Raises:
        ValueError: One is of an image that the file does not describe or that is not there, or is of another size, or
            there is no such folder.
    """
    if not image_dir.is_dir():
        raise ValueError(f"There is no image folder {image_dir}. Check the path.")
    photos = file.photos_of(items, "annotation", file.path)
    image_ids = np.array([item["image_id"] for item in items], dtype=np.int64)
    used = dict(zip(image_ids.tolist(), photos, strict=True))
    paths = find_photos({number: _name_of(photo, file) for number, photo in used.items()}, image_dir, file.path)
    sizes = {number: (photo.get("width"), photo.get("height")) for number, photo in used.items()}
    whole = complete_sizes(sizes, paths, file.path)
    settled = settle_sizes(whole, paths, lambda: _points(image_ids, boxes, keypoints), source=file.path)
    columns = {
        "image_id": image_ids,
        "person_id": np.array([item["id"] for item in items], dtype=np.int64),
        "width": [settled[number][0] for number in image_ids.tolist()],
        "height": [settled[number][1] for number in image_ids.tolist()],
        "bbox": boxes,
        "keypoints": keypoints,
        **_optional_columns(items, photos, file),
    }
    return columns, [paths[number] for number in image_ids.tolist()]


def _name_of(photo: Item, file: CocoFile) -> str:
    name = photo.get("file_name")
    if not isinstance(name, str) or not name:
        place = (str(file.path), f"image {photo['id']}")
        raise PlacedError(f"expected a file_name, got {name!r}. Add the photo's name.", place)
    return name.replace("\\", "/")  # of Windows too


def _points(image_ids: np.ndarray, boxes: np.ndarray, keypoints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Images `(m,)` and positions `(m, 2)` of all labeled keypoints, or of the boxes' ends where none is labeled."""
    rows, places = np.nonzero(keypoints[..., 2] > 0)
    if not len(rows):
        return image_ids, boxes[:, :2] + boxes[:, 2:]
    return image_ids[rows], keypoints[rows, places, :2]


def _optional_columns(items: Sequence[Item], photos: Sequence[Item], file: CocoFile) -> dict[str, list[Any]]:
    """Columns that only some files have."""
    optional: dict[str, list[Any]] = {name: [item.get(name) for item in items] for name in _OF_PEOPLE}
    optional["crowd_index"] = [photo.get("crowdIndex") for photo in photos]
    optional["video_id"] = [whole_number(photo.get("video_id")) for photo in photos]
    optional["track_id"] = [_track_of(item) for item in items]
    if file.categories and list(file.categories) != [PERSON_CATEGORY]:
        categories = [_category_of(item, file) for item in items]
        named = {number: str(category.get("name")) for number, category in file.categories.items()}
        optional |= {"category_id": categories, "category": [named.get(number) for number in categories]}
    return {name: values for name, values in optional.items() if any(value is not None for value in values)}


def _category_of(item: Item, file: CocoFile) -> int:
    """The category of a person; the file's first one where the annotation does not say."""
    number = whole_number(item.get("category_id"))
    return next(iter(file.categories)) if number is None else number


def _track_of(item: Item) -> int | None:
    """The number of a track, which CVAT writes among an annotation's attributes."""
    track = item.get("track_id")
    attributes = item.get("attributes") if track is None else None
    return whole_number(attributes.get("track_id") if isinstance(attributes, dict) else track)
