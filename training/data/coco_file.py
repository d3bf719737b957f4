"""Annotation files in COCO's layout, checked, with errors that carry the file and the entry."""

import os
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any

from vitpose.base.errors import Place, PlacedError
from vitpose.base.files import read_json
from vitpose.modeling.keypoint_schemas import KeypointSchema

from .keypoint_names import check_keypoint_names

Item = dict[str, Any]

_IMAGE_FIELDS = ("id", "file_name", "width", "height")
# Dropped while a file is parsed: outlines of people are most of COCO's files, and nobody here reads them.
_UNREAD = ("segmentation", "coco_url", "flickr_url", "date_captured", "license")
_NUMBER_LISTS = ("keypoints", "foot_kpts", "face_kpts", "lefthand_kpts", "righthand_kpts")


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
            item[field] = _packed(item[field])
    return item


def _packed(values: Any) -> Any:
    """Pack numbers into 8 bytes each; keep anything else for the check that can name its owner."""
    try:
        return array("d", values)
    except TypeError:
        return values


def by_id(items: list[Any], kind: str, required: Sequence[str], path: Path) -> dict[int, Item]:
    """Index images or annotations of a file by their id, and check that each has its required fields.

    Raises:
        ValueError: An entry is not an object, lacks a field, or has an id that is not a whole number or occurs twice.
    """
    found: dict[int, Item] = {}
    whole = [field for field in ("id", "image_id") if field in required]
    for position, item in enumerate(items):
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

    def photo_files(self, folder: Path) -> dict[int, str]:
        """Path of each image by its id.

        Raises:
            ValueError: There is no such folder.
        """
        if not folder.is_dir():
            raise ValueError(f"There is no image folder {folder}. Check the path.")
        return {number: os.path.join(folder, _posix_path(image["file_name"])) for number, image in self.images.items()}

    def photo_of(self, item: Item, kind: str, path: Path) -> Item:
        """Look up the image of an annotation or result; `kind` and `path` name that entry in the message."""
        photo = self.images.get(item["image_id"])
        if photo is None:
            raise PlacedError(
                f"is of the unknown image {item['image_id']}: {self.path} describes {len(self.images)} others. Add the "
                f"image or remove the {kind}.",
                (str(path), f"{kind} {item['id']}"),
                " ",
            )
        return photo


def _posix_path(file_name: str) -> str:
    """Convert a path from Windows, where some files were made."""
    return PureWindowsPath(file_name).as_posix() if "\\" in file_name else file_name


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
        if "keypoints" in category:
            check_keypoint_names(category["keypoints"], schema, path)
    images = by_id(content["images"], "image", _IMAGE_FIELDS, path)
    return CocoFile(path=path, images=images, annotations=content["annotations"], categories=categories)


def check_category(item: Item, file: CocoFile) -> None:
    """Raise a ValueError if the file does not describe the category of an annotation."""
    category = item.get("category_id")
    if file.categories and category is not None and category not in file.categories:
        raise PlacedError(
            f"has the unknown category {category}: expected one of {list(file.categories)}. Describe the category or "
            "remove the annotation.",
            (str(file.path), f"annotation {item['id']}"),
            " ",
        )


def places_of(kind: str, ids: Sequence[Any], path: Path) -> Callable[[int], Place]:
    """Make a function that gives the place of a row for errors."""
    return lambda row: (str(path), f"{kind} {ids[row]}")
