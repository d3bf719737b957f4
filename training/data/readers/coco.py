"""People and animals of annotation files in COCO's layout, with errors that carry the file and the entry."""

import os
from array import array
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset

from vitpose.base.errors import PlacedError
from vitpose.base.files import read_json
from vitpose.modeling.keypoint_schemas import KeypointSchema

from ..columns import people_table
from ..keypoint_names import check_keypoint_names

Item = dict[str, Any]

_IMAGE_FIELDS = ("id", "file_name", "width", "height")
_ANNOTATION_FIELDS = ("id", "image_id", "bbox", "keypoints")
# Dropped while a file is parsed: outlines of people are most of COCO's files, and nobody here reads them.
_UNREAD = ("segmentation", "coco_url", "flickr_url", "date_captured", "license")
_NUMBER_LISTS = ("keypoints", "foot_kpts", "face_kpts", "lefthand_kpts", "righthand_kpts")
# columns that some files have, and what they are called there
_OF_IMAGES = {"crowd_index": "crowdIndex", "video_id": "video_id"}
_OF_PEOPLE = ("foot_valid", "face_valid", "lefthand_valid", "righthand_valid", "track_id")


@dataclass(frozen=True, kw_only=True)
class CocoFile:
    """A file in COCO's layout, indexed by id.

    Args:
        path: The file.
        images: With id, file_name, width and height.
        annotations: As in the file, not yet checked.
        categories: Of people or animals; empty where the file has none.
    """

    path: Path
    images: dict[int, Item]
    annotations: list[Any]
    categories: dict[int, Item]

    def photos_of(self, items: Sequence[Item], kind: str, path: Path) -> list[Item]:
        """Look up the image of each annotation or result; `kind` and `path` name one of them in the message."""
        for item in items:
            if item["image_id"] not in self.images:
                reason = (
                    f"is of the unknown image {item['image_id']}: {self.path} describes {len(self.images)} others. Add "
                    f"the image or remove the {kind}."
                )
                raise PlacedError(reason, (str(path), f"{kind} {item['id']}"), " ")
        return [self.images[item["image_id"]] for item in items]


def read_coco(
    annotation_file: str | os.PathLike[str],
    image_dir: str | os.PathLike[str],
    *,
    schema: KeypointSchema,
    min_keypoints: int = 1,
    everyone: bool = False,
    dataset: str | None = None,
    box_share: float | None = None,
) -> Dataset:
    """Read a COCO keypoint annotation file. The photos stay on disk, and are checked to exist.

    Crowds, people with fewer than `min_keypoints` labeled keypoints and people with a box outside the image are left
    out, with their number in the log. To evaluate as COCO does, pass the annotation file itself to the metric.

    Args:
        annotation_file: JSON in COCO layout, such as `person_keypoints_train2017.json`.
        image_dir: Folder of the photos; each `file_name` is relative to it.
        schema: The keypoints of the file.
        min_keypoints: People with fewer labeled keypoints are left out.
        everyone: Keep everyone.
        dataset: Name of the dataset; the schema's if None.
        box_share: Share of the box to take for the area; None takes the file's area.

    Raises:
        ValueError: A file or folder is missing, the JSON is damaged, or an annotation is unusable; the message names
            the file and the annotation.
    """
    path = Path(annotation_file)
    file = parse_coco(read_slim_json(path), path, schema=schema)
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
    by_number = by_id(file.annotations, "annotation", (*_ANNOTATION_FIELDS, *required), file.path)
    numbers, people = list(by_number), list(by_number.values())
    columns, files = coco_columns(people, file, image_dir)
    columns["keypoints"] = [keypoints_of(person) for person in people]
    columns["iscrowd"] = np.array([person.get("iscrowd", 0) for person in people])
    columns["area"] = [person.get("area") for person in people]
    if box_share is not None:
        columns["area"] = [_share(person["bbox"], box_share) for person in people]
    return people_table(
        columns,
        files,
        schema=schema,
        dataset=dataset or schema.name,
        source=file.path,
        place_of=lambda row: (str(file.path), f"annotation {numbers[row]}"),
        min_keypoints=min_keypoints,
        everyone=everyone,
    )


def _share(box: Any, share: float) -> float | None:
    """Share of a box's area; None for an invalid box, which is refused by name later."""
    return share * box[2] * box[3] if isinstance(box, list) and len(box) == 4 else None


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


def parse_coco(content: Any, path: Path, *, schema: KeypointSchema) -> CocoFile:
    """Check the layout of a COCO file, its images and its categories.

    Args:
        content: The parsed JSON.
        path: Its file, for messages.
        schema: The expected keypoints.

    Raises:
        ValueError: The layout is another, an image lacks a field, or the keypoints are not those of the schema.
    """
    lists = [content.get("images"), content.get("annotations", [])] if isinstance(content, dict) else [None]
    if not all(isinstance(items, list) for items in lists) or "annotations" not in content:
        raise ValueError(f"{path} is not in COCO layout: expected an object with the lists images and annotations.")
    categories = by_id(content.get("categories", []), "category", ("id",), path)
    for category in categories.values():
        if category.get("keypoints", list(schema.keypoints)) != list(schema.keypoints):
            check_keypoint_names(category["keypoints"], schema, path)
    images = by_id(content["images"], "image", _IMAGE_FIELDS, path)
    return CocoFile(path=path, images=images, annotations=content["annotations"], categories=categories)


def by_id(items: list[Any], kind: str, required: Sequence[str], path: Path) -> dict[int, Item]:
    """Index images or annotations of a file by their id, and check that each has its required fields.

    Raises:
        ValueError: An entry is not an object, lacks a field, or has an id that is not a whole number or occurs twice.
    """
    found: dict[int, Item] = {}
    whole = [field for field in ("id", "image_id") if field in required]
    needed = set(required)
    for position, item in enumerate(items):
        if not (isinstance(item, dict) and needed <= item.keys()):
            check_fields(item, kind, required, path, position)
        if not all(type(item[field]) is int for field in whole):
            ids = ", ".join(f"{field} {item[field]!r}" for field in whole)
            place = (str(path), f"{kind} number {position}")
            raise PlacedError(f"expected whole numbers for ids, got {ids}. Renumber them.", place)
        if item["id"] in found:
            place = (str(path), f"{kind} {item['id']}")
            raise PlacedError("occurs twice: expected each id once. Renumber them.", place, " ")
        found[item["id"]] = item
    return found


def check_fields(item: Any, kind: str, required: Sequence[str], path: Path, position: int) -> None:
    """Raise a ValueError if an entry of a file is not an object, or lacks a field."""
    if not isinstance(item, dict):
        place = (str(path), f"{kind} number {position}")
        raise PlacedError(f"expected an object, got {item!r}. Use a keypoint file.", place)
    missing = [field for field in required if field not in item]
    if missing:
        name = f"{kind} {item['id']}" if "id" in item else f"{kind} number {position}"
        reason = f"lacks {missing}: expected {list(required)}. Use a keypoint file."
        raise PlacedError(reason, (str(path), name), " ")


def coco_columns(items: list[Item], file: CocoFile, image_dir: Path) -> tuple[dict[str, Any], list[str]]:
    """Columns that annotations and results share, and the photo of each.

    Raises:
        ValueError: One is of an image or a category that the file does not describe, or there is no such folder.
    """
    if not image_dir.is_dir():
        raise ValueError(f"There is no image folder {image_dir}. Check the path.")
    photos = file.photos_of(items, "annotation", file.path)
    names = {number: photo["file_name"].replace("\\", "/") for number, photo in file.images.items()}  # of Windows too
    paths = {number: os.path.join(image_dir, name) for number, name in names.items()}
    optional = {name: [photo.get(field) for photo in photos] for name, field in _OF_IMAGES.items()}
    optional |= {name: [item.get(name) for item in items] for name in _OF_PEOPLE}
    categories = [item.get("category_id") for item in items]
    if file.categories and not {*categories, None} <= {*file.categories, None}:
        _refuse_category(items, file)
    if len(file.categories) > 1:
        named: dict[Any, Any] = {number: category.get("name") for number, category in file.categories.items()}
        optional |= {"category_id": categories, "category": [named.get(number) for number in categories]}
    columns = {
        "image_id": np.array([item["image_id"] for item in items], dtype=np.int64),
        "person_id": np.array([item["id"] for item in items], dtype=np.int64),
        "width": [photo["width"] for photo in photos],
        "height": [photo["height"] for photo in photos],
        "bbox": [item["bbox"] for item in items],
        **{name: values for name, values in optional.items() if any(value is not None for value in values)},
    }
    return columns, [paths[item["image_id"]] for item in items]


def _refuse_category(items: list[Item], file: CocoFile) -> None:
    """Raise a ValueError for the first annotation whose category the file does not describe."""
    for item in items:
        category = item.get("category_id")
        if category is not None and category not in file.categories:
            raise PlacedError(
                f"has the unknown category {category}: expected one of {list(file.categories)}. Describe the category "
                "or remove the annotation.",
                (str(file.path), f"annotation {item['id']}"),
                " ",
            )
