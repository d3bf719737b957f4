"""The categories of a file in COCO's layout: whose keypoints are read, and whose are not."""

from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import Any

from vitpose.base.names import unknown_name
from vitpose.modeling.keypoint_schemas import KeypointSchema
from vitpose.modeling.keypoint_sides import same_keypoints

Item = dict[str, Any]


def whole_number(value: object) -> int | None:
    """The whole number that a program wrote as `12`, `12.0` or `"12"`; None for anything else."""
    if type(value) is int:
        return value
    if isinstance(value, str):
        return int(value) if value.strip().lstrip("-").isdecimal() else None
    return int(value) if isinstance(value, float) and value.is_integer() else None


def keypoint_names(category: Item) -> tuple[str, ...]:
    """Names of a category's keypoints; none where it is of boxes or outlines."""
    names = category.get("keypoints")
    return tuple(map(str, names)) if isinstance(names, (list, tuple, dict)) else ()


def choose_categories(
    categories: Iterable[Item], path: Path, *, category: str | None = None, schema: KeypointSchema | None = None
) -> list[Item]:
    """Choose the categories whose people are read, all of them with the same keypoints, as AP-10K's species have.

    Args:
        categories: Of the file.
        path: The file, for errors.
        category: The name of the one to choose; None where the file leaves no choice.
        schema: The expected keypoints: of several skeletons in a file the one that is the schema's is chosen.

    Returns:
        Those with keypoints; all of them, where the file names no keypoints at all.

    Raises:
        ValueError: There is no such category, or several have different keypoints and none is chosen.
    """
    every = list(categories)
    named = every if category is None else [entry for entry in every if str(entry.get("name")) == category]
    skeletons = _by_keypoints(named)
    if category is not None and not skeletons and (not named or _by_keypoints(every)):
        known = [str(entry.get("name")) for entry in every if keypoint_names(entry) or not _by_keypoints(every)]
        raise ValueError(f"{path}: {unknown_name('category with keypoints', category, known or ['none'])}")
    if len(skeletons) > 1 and schema is not None:
        own = [those for names, those in skeletons.items() if same_keypoints(names, schema.keypoints)]
        if own:
            return list(chain.from_iterable(own))
    if len(skeletons) > 1:
        found = ", ".join(f"{those[0].get('name')!r} ({len(names)})" for names, those in skeletons.items())
        raise ValueError(
            f"{path}: expected one category with keypoints, or several with the same, found {found} with different "
            "ones. Choose one with its schema, which `vitpose schema` with --category NAME writes, for `schema`; in "
            "Python category=NAME."
        )
    return next(iter(skeletons.values())) if skeletons else named


def _by_keypoints(categories: Iterable[Item]) -> dict[tuple[str, ...], list[Item]]:
    """The categories that have keypoints, by the names of these."""
    found: dict[tuple[str, ...], list[Item]] = {}
    for entry in categories:
        if names := keypoint_names(entry):
            found.setdefault(names, []).append(entry)
    return found
