"""The layout of COCO's files: images, categories, and annotations of people among those of other things."""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vitpose.base.errors import PlacedError
from vitpose.base.names import first_of
from vitpose.modeling.keypoint_schemas import KeypointSchema

from ..annotation_forms import check_coco_layout
from ..boxes import LABELS_OF_PEOPLE, Rectangle
from ..coco_categories import choose_categories, keypoint_names, whole_number
from ..keypoint_names import check_keypoint_names

logger = logging.getLogger(__name__)

Item = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class CocoFile:
    """A file in COCO's layout, indexed by id.

    Args:
        path: The file.
        images: As in the file, with id.
        annotations: As in the file, not yet checked.
        categories: Of the people or animals to read; empty where the file has none.
        others: The file's other categories.
        tool: The program that wrote the file, where it says so.
    """

    path: Path
    images: dict[int, Item]
    annotations: list[Any]
    categories: dict[int, Item]
    others: dict[int, Item] = field(default_factory=dict)
    tool: str | None = None

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


def parse_coco(content: Any, path: Path, *, schema: KeypointSchema, category: str | None = None) -> CocoFile:
    """Check the layout of a COCO file, its images and its categories.

    Args:
        content: The parsed JSON.
        path: Its file, for messages.
        schema: The expected keypoints.
        category: Name of the category to read, where several have keypoints of their own.

    Raises:
        ValueError: The layout is another, an image lacks its id, or the keypoints are not those of the schema.
    """
    content = check_coco_layout(content, path)
    every = by_id(content.get("categories") or [], "category", ("id",), path)
    chosen = choose_categories(every.values(), path, category=category, schema=schema)
    categories = {entry["id"]: entry for entry in chosen}
    for names in {keypoint_names(entry) for entry in chosen} - {(), schema.keypoints}:
        check_keypoint_names(names, schema, path)
    info = content.get("info")
    return CocoFile(
        path=path,
        images=by_id(content["images"], "image", ("id",), path),
        annotations=content["annotations"],
        categories=categories,
        others={number: entry for number, entry in every.items() if number not in categories},
        tool=info.get("contributor") if isinstance(info, dict) else None,
    )


def by_id(items: list[Any], kind: str, required: Sequence[str], path: Path) -> dict[int, Item]:
    """Index images or annotations of a file by their id, and check that each has its required fields.

    Ids that are written as texts or with a point become whole numbers, in place. An entry that stands there twice, word
    for word, counts once.

    Raises:
        ValueError: An entry is not an object, lacks a field, or has an id that is no number or that of another entry.
    """
    found: dict[int, Item] = {}
    whole = [field for field in ("id", "image_id") if field in required]
    needed = set(required)
    for position, item in enumerate(items):
        if not (isinstance(item, dict) and needed <= item.keys()):
            check_fields(item, kind, required, path, position)
        if not all(type(item[field]) is int for field in whole):
            _make_whole(item, whole, kind, path, position)
        if found.setdefault(item["id"], item) is not item and found[item["id"]] != item:
            place = (str(path), f"{kind} {item['id']}")
            raise PlacedError("occurs twice: expected each id once. Renumber them.", place, " ")
    return found


def _make_whole(item: Item, fields: Sequence[str], kind: str, path: Path, position: int) -> None:
    numbers = {field: whole_number(item[field]) for field in fields}
    if None in numbers.values():
        ids = ", ".join(f"{field} {item[field]!r}" for field in fields)
        place = (str(path), f"{kind} number {position}")
        raise PlacedError(f"expected whole numbers for ids, got {ids}. Renumber them.", place)
    item.update(numbers)


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


def sort_entries(file: CocoFile, required: Sequence[str] = ()) -> tuple[list[Item], list[Item]]:
    """Tell the people of a file from what else is annotated in it, with a count of the latter in the log.

    Args:
        file: The parsed file.
        required: Fields that people have beyond COCO's.

    Returns:
        The annotations with keypoints, of the file's chosen categories, with ids of their own; and those without
        keypoints, boxes and outlines of people and of other things.

    Raises:
        ValueError: A person is of an unknown category or lacks a field, or nobody has keypoints.
    """
    people: list[Item] = []
    drawn: list[Item] = []
    others: Counter[str] = Counter()
    needed = {"image_id", *required}
    for position, item in enumerate(file.annotations):
        if not isinstance(item, dict):
            check_fields(item, "annotation", (), file.path, position)
        if not item.get("keypoints"):  # absent, null or empty
            drawn.append(item)
            continue
        category = item.get("category_id")
        if not (category in file.categories if type(category) is int else category is None):
            item["category_id"] = category = _known_category(item, position, file)
            if category in file.others:
                others[str(file.others[category].get("name"))] += 1
                continue
        if not needed <= item.keys():
            check_fields(item, "annotation", ("image_id", *required), file.path, position)
        if type(item["image_id"]) is not int:
            _make_whole(item, ("image_id",), "annotation", file.path, position)
        people.append(item)
    _tell(file, drawn, others)
    _give_ids(people, file.path)
    return people, drawn


def _known_category(item: Item, position: int, file: CocoFile) -> int | None:
    """The category of a person that is not one of those to read."""
    number = whole_number(item["category_id"])
    if number is not None and (number in file.categories or number in file.others):
        return number
    if not file.categories and not file.others:
        return number
    name = f"annotation {item['id']}" if "id" in item else f"annotation number {position}"
    raise PlacedError(
        f"has the unknown category {item['category_id']}: expected one of {[*file.categories, *file.others]}. Describe "
        "the category or remove the annotation.",
        (str(file.path), name),
        " ",
    )


def _tell(file: CocoFile, drawn: Sequence[Item], others: Counter[str]) -> None:
    """Log what is left out; an error where that is everything."""
    if others:
        counts = ", ".join(f"{count} of the category {name!r}" for name, count in others.most_common())
        logger.warning("%s: left out %d annotations of other keypoints: %s.", file.path, others.total(), counts)
    if drawn:
        kinds = Counter(_category_name(entry, file) for entry in drawn)
        counts = first_of([f"{count} of {name!r}" for name, count in kinds.most_common()])
        logger.warning("%s: nobody is read from %d annotations without keypoints: %s.", file.path, len(drawn), counts)
    if drawn and len(drawn) == len(file.annotations):
        raise ValueError(
            f"{file.path} has no keypoints in its {len(drawn)} annotations: it is a file of boxes or outlines. Use a "
            "keypoint file."
        )


def _give_ids(people: Sequence[Item], path: Path) -> None:
    """Number annotations without an id of their own on from the highest."""
    ids: list[Any] = [item.get("id") for item in people]
    if all(type(number) is int for number in ids) and len(set(ids)) == len(ids):
        return
    following = max((number for value in ids if (number := whole_number(value)) is not None), default=0) + 1
    first, taken = following, set[int]()
    for item, value in zip(people, ids, strict=True):
        number = whole_number(value)
        if number is None or number in taken:
            number, following = following, following + 1
        taken.add(number)
        item["id"] = number
    if following > first:
        message = "%s: %d annotations have no id, or that of another one: they are numbered on from %d."
        logger.warning(message, path, following - first, first)


def drawn_rectangles(drawn: Sequence[Item], file: CocoFile) -> list[Rectangle]:
    """The boxes of the entries without keypoints, and whether their label says that they are of people."""
    fields = ("name", "supercategory")
    named = {str(entry[field]).lower() for entry in file.categories.values() for field in fields if entry.get(field)}
    rectangles = []
    for entry in drawn:
        image_id, box = whole_number(entry.get("image_id")), entry.get("bbox") or []
        if image_id is not None and not entry.get("iscrowd") and _is_box(box):
            label = _category_name(entry, file)
            own = label.lower() in named | LABELS_OF_PEOPLE
            rectangles.append(Rectangle(image_id=image_id, box=box, label=label, own=own))
    return rectangles


def _category_name(entry: Item, file: CocoFile) -> str:
    number = whole_number(entry.get("category_id"))
    known = {} if number is None else file.categories.get(number) or file.others.get(number, {})
    return str(known.get("name", "no category"))


def is_plain(content: Item, schema: KeypointSchema, path: Path, *, category: str | None = None) -> bool:
    """Whether evaluators can take a file in COCO's layout as it is.

    Each entry is then of the categories that are read, has all that COCO's do, and ids are whole numbers, each once.

    Args:
        content: The parsed JSON.
        schema: The keypoints of each person.
        path: The file, for errors.
        category: As for `parse_coco`.
    """
    described = [entry for entry in content.get("categories") or () if isinstance(entry, dict) and "id" in entry]
    chosen = {entry["id"] for entry in choose_categories(described, path, category=category, schema=schema)}
    return all(_have_own_ids(content.get(field) or ()) for field in ("images", "annotations")) and all(
        type(entry.get("image_id")) is type(entry.get("category_id")) is int
        and entry["category_id"] in chosen
        and len(entry.get("keypoints") or ()) == 3 * schema.num_keypoints
        and _is_box(entry.get("bbox"))
        and isinstance(entry.get("area"), (int, float))
        and entry["area"] > 0
        for entry in content["annotations"]
    )


def _have_own_ids(entries: Sequence[Any]) -> bool:
    ids = [entry.get("id") if isinstance(entry, dict) else None for entry in entries]
    return all(type(number) is int for number in ids) and len(set(ids)) == len(ids)


def _is_box(box: Any) -> bool:
    numbers = isinstance(box, list) and len(box) == 4 and all(isinstance(value, (int, float)) for value in box)
    return numbers and min(box[2:]) > 0
