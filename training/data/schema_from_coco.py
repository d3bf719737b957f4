"""Keypoint schema from the category of a COCO file, as annotation tools export it."""

from pathlib import Path
from typing import Any

from vitpose.base.files import read_json
from vitpose.modeling.keypoint_schemas import KeypointSchema
from vitpose.modeling.keypoint_sides import mirror_pairs


def schema_from_annotations(
    annotation_file: Path, *, name: str | None = None, category: str | None = None
) -> KeypointSchema:
    """Make a schema from the keypoints and skeleton of a category, such as CVAT and Label Studio export it.

    Keypoints whose names differ by left and right alone, however these are spelled, become flip pairs. The file has no
    sigmas: without them a model is evaluated by PCK, with them, added by hand, by AP.

    Args:
        annotation_file: JSON in COCO layout.
        name: Name of the schema; the category's if None.
        category: Name of the category, where several have keypoints.

    Raises:
        ValueError: The file has no category with keypoints, or several and none is chosen.
    """
    content = read_json(annotation_file)
    categories = content.get("categories", []) if isinstance(content, dict) else []
    found = {
        str(entry.get("name")): entry for entry in categories if isinstance(entry, dict) and entry.get("keypoints")
    }
    if category is not None and category in found:
        found = {category: found[category]}
    if len(found) != 1 or (category is not None and category not in found):
        have = ", ".join(map(repr, found)) or "none"
        raise ValueError(
            f"{annotation_file}: expected one category with keypoints{f' called {category!r}' if category else ''}, "
            f"found {have}. Choose one with --category, or export keypoints from the annotation tool."
        )
    (own_name, entry) = found.popitem()
    return _schema(name or own_name, entry)


def _schema(name: str, category: dict[str, Any]) -> KeypointSchema:
    names = [str(keypoint) for keypoint in category["keypoints"]]
    return KeypointSchema(
        name=name,
        keypoints=tuple(names),
        flip_pairs=mirror_pairs(names),
        upper_body=(),
        lower_body=(),
        edges=tuple((int(a) - 1, int(b) - 1) for a, b in category.get("skeleton", [])),  # COCO counts from 1
        sigmas=None,
        joint_weights=(1.0,) * len(names),
        category=str(category.get("name", name)),
    )
