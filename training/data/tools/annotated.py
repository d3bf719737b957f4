"""People as annotation tools write them, and their way into the common columns.

A reader of a form makes [`Annotations`] of its files, without a look at the photos. What all forms need then is done
here: one skeleton is chosen, keypoints are put into the schema's order by their names, photos are found below the data
folder, and people who have no box get one around their keypoints.
"""

import logging
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset

from vitpose.base.errors import Place, PlacedError, at_place
from vitpose.base.names import first_of
from vitpose.modeling.keypoint_schemas import KeypointSchema, get_keypoint_schema, list_keypoint_schemas
from vitpose.modeling.keypoint_sides import mirror_pairs, unify_names

from ..boxes import PERSON_MARGIN, padded_extents
from ..columns import people_table
from ..photo_folder import PhotoFolder

logger = logging.getLogger(__name__)

# What a label or a class may be called that says no more than that it is a person.
PERSON_WORDS = ("person", "persons", "people", "human", "humans", "pedestrian", "pedestrians", "man", "woman", "child")


@dataclass(frozen=True, kw_only=True)
class Source:
    """Files of one split.

    Args:
        root: The data folder, below which everything lies; made absolute and free of `..`.
        split: Name of the split.
        files: The annotation files, in it.
    """

    root: Path
    split: str
    files: tuple[Path, ...]

    def __post_init__(self) -> None:
        # through a link, `..` leads elsewhere than the words of the path say; without it links stay as they are called
        root = self.root.resolve() if ".." in self.root.parts else Path(os.path.abspath(self.root))
        object.__setattr__(self, "files", tuple(root / file.relative_to(self.root) for file in self.files))
        object.__setattr__(self, "root", root)

    @cached_property
    def photos(self) -> PhotoFolder:
        """The photos below the data folder, listed once."""
        return PhotoFolder(self.root, prefer=self.split)


@dataclass(frozen=True, kw_only=True)
class Category:
    """The keypoints of one kind of thing.

    Args:
        keypoints: Their names; `keypoint_0` and so on where `numbered`.
        edges: Pairs of indices that the tool joins by a line.
        flip_pairs: Pairs that the file itself declares to be mirrored; None where it does not say.
        numbered: The file has no names, the order alone says which keypoint is which.
    """

    keypoints: tuple[str, ...]
    edges: tuple[tuple[int, int], ...] = ()
    flip_pairs: tuple[tuple[int, int], ...] | None = None
    numbered: bool = False


@dataclass(kw_only=True)
class Photo:
    """A photo that an annotation file names.

    Args:
        name: As the file has it.
        place: Where it stands in the file, for errors.
        size: Width and height in pixels as the file has them; None where it does not say.
        locate: Returns its path, for forms that know better than to look for its name.
    """

    name: str
    place: Place
    size: tuple[float, float] | None = None
    locate: Callable[[], str] | None = None


@dataclass(kw_only=True)
class Person:
    """An annotated person.

    Args:
        photo: Number of the photo in the file's list.
        place: Where the person stands in the file, for errors.
        category: Name of what it is, a key of the file's categories where that has keypoints.
        keypoints: The labeled ones by name: x, y and 1 for hidden, 2 for visible.
        box: `[x, y, width, height]`; None where the tool has none.
    """

    photo: int
    place: Place
    category: str
    keypoints: dict[str, tuple[float, float, float]]
    box: tuple[float, float, float, float] | None = None


@dataclass(kw_only=True)
class Annotations:
    """What the files of a split say.

    Args:
        photos: Also those without people.
        people: Also those without keypoints.
        categories: Kinds of things with keypoints, by name.
        relative: Coordinates are shares of the photo's width and height; else pixels.
        remarks: How many entries of a sort were seen and not read, in words for the log.
    """

    photos: list[Photo] = field(default_factory=list)
    people: list[Person] = field(default_factory=list)
    categories: dict[str, Category] = field(default_factory=dict)
    relative: bool = False
    remarks: Counter[str] = field(default_factory=Counter)


def schema_of(annotations: Annotations, source: Source, category: str | None = None) -> KeypointSchema:
    """Make a schema of a file's keypoints: of one category, or of several that share their keypoints.

    Keypoints that are called as those of a schema that comes with vitpose are these, sigmas included.

    Raises:
        ValueError: There are no keypoints, or of several skeletons none is chosen.
    """
    names = _names_of_choice(annotations, source, category)
    skeleton = annotations.categories[names[0]]
    known = _known_schema(skeleton)
    if known is not None:
        return replace(known, edges=skeleton.edges) if skeleton.edges and not known.edges else known
    pairs = mirror_pairs(skeleton.keypoints) if skeleton.flip_pairs is None else skeleton.flip_pairs
    name = names[0] if len(names) == 1 and names[0] else source.root.resolve().name
    return KeypointSchema(
        name=name,
        keypoints=skeleton.keypoints,
        flip_pairs=pairs,
        upper_body=(),
        lower_body=(),
        edges=skeleton.edges,
        sigmas=None,
        joint_weights=(1.0,) * len(skeleton.keypoints),
        category=name,
    )


def _names_of_choice(annotations: Annotations, source: Source, category: str | None) -> list[str]:
    """The chosen category, or all of them where they share their keypoints."""
    found, path = annotations.categories, source.files[0]
    if category is not None and category not in found:
        have = ", ".join(map(repr, found)) or "none"
        raise ValueError(f"{path}: expected keypoints of the category {category!r}, found those of {have}.")
    names = list(found) if category is None else [category]
    if not names:
        raise ValueError(f"{path} has no keypoints. Annotate or export them, then read it again.")
    if len({frozenset(found[name].keypoints) for name in names}) > 1:
        raise ValueError(
            f"{path} has several skeletons, of {', '.join(map(repr, names))}: they are not pooled. Choose one with "
            "its schema, which `vitpose schema` with --category NAME writes, for `schema`; in Python category=NAME."
        )
    return names


def _known_schema(skeleton: Category) -> KeypointSchema | None:
    """The schema that comes with vitpose and has just these keypoints, COCO's before its likes."""
    names = sorted(unify_names(skeleton.keypoints))
    for name in ("coco", *list_keypoint_schemas()):
        schema = get_keypoint_schema(name)
        if sorted(unify_names(schema.keypoints)) == names:
            return schema if skeleton.flip_pairs is None or _name_pairs(skeleton) == _name_pairs(schema) else None
    return None


def _name_pairs(skeleton: Category | KeypointSchema) -> set[frozenset[str]]:
    """The names of each two keypoints that are mirrored."""
    names = unify_names(skeleton.keypoints)
    return {frozenset((names[a], names[b])) for a, b in skeleton.flip_pairs or ()}


def annotated_table(
    annotations: Annotations,
    source: Source,
    *,
    schema: KeypointSchema,
    dataset: str,
    min_keypoints: int,
    everyone: bool,
    category: str | None = None,
) -> Dataset:
    """Convert the people of a split to the common columns.

    Args:
        annotations: As the form's reader made them.
        source: Their files.
        schema: The keypoints to read, by their names.
        dataset: Name for the column.
        min_keypoints: People with fewer labeled keypoints are left out.
        everyone: Keep everyone.
        category: The category to read, where several fit the schema.

    Raises:
        ValueError: A photo is missing or of another size, or an entry is unusable; the message names it.
    """
    people, order = _chosen_people(annotations, source, schema, category)
    used = sorted({person.photo for person in people})
    paths = {number: _path_of(annotations.photos[number], source) for number in used}
    sizes = {number: _size_of(annotations, number, paths[number], source) for number in used}
    scales = [sizes[person.photo] if annotations.relative else (1, 1) for person in people]
    keypoints = np.zeros((len(people), schema.num_keypoints, 3))
    for row, person, (across, down) in zip(keypoints, people, scales, strict=True):
        for name, (x, y, flag) in person.keypoints.items():
            row[order[person.category][name]] = x * across, y * down, flag
    boxes = [_scaled(person, scale) for person, scale in zip(people, scales, strict=True)]
    columns: dict[str, Any] = {
        "image_id": np.array([person.photo + 1 for person in people], dtype=np.int64),
        "person_id": np.arange(1, len(people) + 1),
        "width": [sizes[person.photo][0] for person in people],
        "height": [sizes[person.photo][1] for person in people],
        "bbox": [own or around for own, around in zip(boxes, _around(keypoints), strict=True)],
        "keypoints": keypoints,
    }
    _tell(annotations, source, people, boxes)
    kinds = list(dict.fromkeys(person.category for person in people))
    if len(kinds) > 1:
        columns["category"] = [person.category for person in people]
        columns["category_id"] = [kinds.index(person.category) + 1 for person in people]
    return people_table(
        columns,
        [paths[person.photo] for person in people],
        schema=schema,
        dataset=dataset,
        source=source.files[0],
        place_of=lambda row: people[row].place,
        min_keypoints=min_keypoints,
        everyone=everyone,
    )


def photo_entries(annotations: Annotations, source: Source) -> list[dict[str, Any]]:
    """All photos of a split as COCO's `images`, also those without people, numbered as in the table."""
    entries = []
    for number, photo in enumerate(annotations.photos):
        width, height = _size_of(annotations, number, _path_of(photo, source), source)
        entries.append({"id": number + 1, "file_name": photo.name, "width": width, "height": height})
    return entries


def _chosen_people(
    annotations: Annotations, source: Source, schema: KeypointSchema, category: str | None
) -> tuple[list[Person], dict[str, dict[str, int]]]:
    """People of the categories that fit the schema, and for each category the schema's index of its keypoints.

    Of several categories that fit, the one that the schema is of is meant; else all of them are.
    """
    if category is not None:
        _names_of_choice(annotations, source, category)
    considered = [name for name in annotations.categories if category in (None, name)]
    orders = {name: _order(annotations.categories[name], schema) for name in considered}
    fitting = {name: order for name, order in orders.items() if order is not None}
    if not fitting:
        _refuse_names(annotations, source, schema)
    if len(fitting) > 1 and schema.category in fitting:
        fitting = {schema.category: fitting[schema.category]}
    for name, order in fitting.items():
        lacking = [keypoint for index, keypoint in enumerate(schema.keypoints) if index not in order.values()]
        if lacking:
            message = "%s: nobody has the schema's keypoints %s: they count as not labeled."
            logger.warning(message, source.files[0], first_of(lacking))
        if name != category and len(annotations.categories) > 1:
            logger.info("%s: reads the category %r.", source.files[0], name)
    people = [person for person in annotations.people if person.category in fitting]
    others = Counter(person.category for person in annotations.people if person.category not in fitting)
    annotations.remarks.update({f"of the category {name!r} not read": count for name, count in others.items()})
    return people, fitting


def _order(skeleton: Category, schema: KeypointSchema) -> dict[str, int] | None:
    """The schema's index of each keypoint; None where the keypoints are others."""
    if skeleton.numbered:
        count = len(skeleton.keypoints)
        return dict(zip(skeleton.keypoints, range(count), strict=True)) if count == schema.num_keypoints else None
    places = {name: index for index, name in enumerate(unify_names(schema.keypoints))}
    exact = {name: index for index, name in enumerate(schema.keypoints)}
    order = {}
    for name, unified in zip(skeleton.keypoints, unify_names(skeleton.keypoints), strict=True):
        index = exact.get(name, places.get(unified))
        if index is None:
            return None
        order[name] = index
    return order if len(set(order.values())) == len(order) else None


def _refuse_names(annotations: Annotations, source: Source, schema: KeypointSchema) -> None:
    known = set(unify_names(schema.keypoints))
    found = []
    for name, skeleton in annotations.categories.items():
        if skeleton.numbered:
            found.append(f"{len(skeleton.keypoints)} keypoints without names")
            continue
        unified = zip(skeleton.keypoints, unify_names(skeleton.keypoints), strict=True)
        unknown = [keypoint for keypoint, other in unified if other not in known] or list(skeleton.keypoints)
        found.append(f"{first_of(unknown)}" + (f" of {name!r}" if name else ""))
    raise ValueError(
        f"{source.files[0]} has other keypoints than the schema {schema.name!r} with {schema.num_keypoints}: "
        f"{'; '.join(found) or 'none at all'}. Make their schema with vitpose schema, or correct the names."
    )


def _path_of(photo: Photo, source: Source) -> str:
    if photo.locate is not None:
        return photo.locate()
    return source.photos.find(photo.name, photo.place)


def _size_of(annotations: Annotations, number: int, path: str, source: Source) -> tuple[int, int]:
    """Width and height of the upright photo, compared with what the file says.

    Raises:
        PlacedError: The annotator saw another photo: of another size, or lying on its side.
    """
    photo = annotations.photos[number]
    with at_place(*photo.place):
        width, height = source.photos.size(path)
    if photo.size is None:
        return width, height
    named = photo.size
    # shares hold for a smaller copy as well, as long as it is the same picture
    same = abs(named[0] * height - named[1] * width) <= named[1] * height * 0.02 if annotations.relative else False
    if not same and (round(named[0]), round(named[1])) != (width, height):
        turned = " It was annotated without its EXIF rotation." if (named[1], named[0]) == (width, height) else ""
        raise PlacedError(
            f"the annotations are of a photo of {named[0]:g} x {named[1]:g} pixels, {path} has {width} x {height}."
            f"{turned} Use the photo that was annotated.",
            photo.place,
        )
    return width, height


def _scaled(person: Person, scale: Sequence[float]) -> list[float] | None:
    if person.box is None:
        return None
    x, y, width, height = person.box
    return [x * scale[0], y * scale[1], width * scale[0], height * scale[1]]


def _around(keypoints: np.ndarray) -> list[list[float]]:
    """Boxes with a margin around the labeled of `(n, K, 3)` keypoints; of size 0 around none."""
    return np.nan_to_num(padded_extents(keypoints)).tolist()


def _tell(annotations: Annotations, source: Source, people: list[Person], boxes: list[Any]) -> None:
    """One line: what was read, what was not, and whose box is not the annotator's; a warning where entries are left."""
    numbers = {person.photo for person in people}
    without = sum(box is None and bool(person.keypoints) for box, person in zip(boxes, people, strict=True))
    parts = [f"{len(annotations.photos)} photos, {len(annotations.photos) - len(numbers)} of them without people"]
    if without:
        parts.append(f"{without} people without a box: it is drawn around their keypoints, {PERSON_MARGIN:.0%} wider")
    left = [f"{count} {what}" for what, count in annotations.remarks.items() if count]
    logger.log(logging.WARNING if left else logging.INFO, "%s: %s.", source.files[0], "; ".join(parts + left))
