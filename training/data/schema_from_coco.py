"""Keypoint schema from the category of a COCO file, as annotation tools export it."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from vitpose.base.files import read_json
from vitpose.base.names import first_of
from vitpose.modeling.keypoint_schemas import KeypointSchema, known_schema
from vitpose.modeling.keypoint_sides import mirror_pairs

from .annotation_forms import check_suffix, other_form
from .coco_categories import choose_categories, keypoint_names, whole_number

logger = logging.getLogger(__name__)

Edge = tuple[int, int]


def schema_from_annotations(
    annotation_file: Path, *, name: str | None = None, category: str | None = None
) -> KeypointSchema:
    """Make a schema from the keypoints and skeleton of a category, such as CVAT and Label Studio export it.

    Keypoints that are called as those of a schema that comes with vitpose are that schema, sigmas included. Of others,
    those whose names differ by their side become flip pairs, and lines of the skeleton between keypoints that there are
    not are left out with a warning. They have no sigmas: without them a model is evaluated by PCK, with them, added by
    hand, by AP.

    Args:
        annotation_file: JSON in COCO layout.
        name: Name of the schema; the known one's or the category's if None.
        category: Name of the category, where several have keypoints of their own.

    Raises:
        ValueError: The file has no category with keypoints, or several with different ones and none is chosen.
    """
    path = Path(annotation_file)
    check_suffix(path)
    content = read_json(path)
    form = other_form(content)
    if form is not None:
        raise ValueError(f"{path} is {form}. Expected JSON in COCO layout.")
    categories = content.get("categories") if isinstance(content, dict) else None
    entries = [entry for entry in categories if isinstance(entry, dict)] if isinstance(categories, list) else []
    chosen = [entry for entry in choose_categories(entries, path, category=category) if keypoint_names(entry)]
    if not chosen:
        among = f" among {first_of([repr(entry.get('name')) for entry in entries])}" if entries else ""
        raise ValueError(
            f"{path}: expected one category with keypoints, found none{among}. Export keypoints from the annotation "
            "tool, or name them in the file's category."
        )
    try:
        known = known_schema(keypoint_names(chosen[0]))
        if known is not None:
            return replace(known, name=name) if name else known
        return _schema(name or str(chosen[0].get("name")), chosen[0], path)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from error


def _schema(name: str, category: dict[str, Any], path: Path) -> KeypointSchema:
    names = keypoint_names(category)
    edges, odd = _edges(category.get("skeleton"), names)
    if odd:
        message = "%s: left out %d lines of the skeleton, which join no two of its %d keypoints: %s."
        logger.warning(message, path, len(odd), len(names), first_of(odd))
    return KeypointSchema(
        name=name,
        keypoints=names,
        flip_pairs=mirror_pairs(names),
        upper_body=(),
        lower_body=(),
        edges=edges,
        sigmas=None,
        joint_weights=(1.0,) * len(names),
        category=str(category.get("name", name)),
    )


def _edges(skeleton: Any, names: Sequence[str]) -> tuple[tuple[Edge, ...], list[Any]]:
    """Pairs of indices from 0, each once, and the entries that are none.

    COCO counts keypoints from 1. Converters that count from 0 are known by a 0 without the number of the last keypoint
    beside it.
    """
    entries = list(skeleton.values()) if isinstance(skeleton, Mapping) else skeleton
    if not isinstance(entries, list):
        return (), [] if entries is None else [entries]
    pairs = [_numbers(entry, names) for entry in entries]
    numbers = {number for pair in pairs if pair is not None for number in pair}
    first = 0 if 0 in numbers and len(names) not in numbers else 1
    edges: dict[frozenset[int], Edge] = {}
    odd = []
    for entry, pair in zip(entries, pairs, strict=True):
        ends = () if pair is None else tuple(number - first for number in pair)
        if len(set(ends)) == 2 and all(0 <= end < len(names) for end in ends):
            edges.setdefault(frozenset(ends), (ends[0], ends[1]))
        else:
            odd.append(entry)
    return tuple(edges.values()), odd


def _numbers(entry: Any, names: Sequence[str]) -> Edge | None:
    """The two numbers of a line as the file counts, from `[1, 2]`, `["nose", "neck"]` or `{"from": 1, "to": 2}`."""
    ends = list(entry.values()) if isinstance(entry, Mapping) else entry
    if not isinstance(ends, list) or len(ends) != 2:
        return None
    first, second = (names.index(end) + 1 if end in names else whole_number(end) for end in ends)
    return None if first is None or second is None else (first, second)
