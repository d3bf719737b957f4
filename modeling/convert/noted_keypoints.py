"""The keypoints that mmpose 1.x notes in its checkpoints, beside the weights."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..keypoint_schemas import KeypointSchema, labels_in_order, schema_from_labels


def noted_schema(content: Any) -> KeypointSchema | None:
    """The schema of the dataset that a checkpoint of mmpose 1.x was trained on; None where a file notes none.

    Keypoints of a known dataset give its schema. Others keep the mirror pairs and the skeleton that the file notes.
    """
    meta = content.get("meta") if isinstance(content, Mapping) else None
    noted = meta.get("dataset_meta") if isinstance(meta, Mapping) else None
    names = noted.get("keypoint_id2name") if isinstance(noted, Mapping) else None
    if not isinstance(noted, Mapping) or not isinstance(names, Mapping) or not names:
        return None
    schema = schema_from_labels(labels_in_order({str(index): str(name) for index, name in names.items()}))
    if schema.name != "custom":
        return schema
    return replace(
        schema,
        name=str(noted.get("dataset_name") or schema.name),
        flip_pairs=_pairs(noted.get("flip_pairs")) or schema.flip_pairs,
        edges=_pairs(noted.get("skeleton_links")),
    )


def _pairs(value: Any) -> tuple[tuple[int, int], ...]:
    """Pairs of indices, each once: mmpose notes a mirror pair from both of its ends."""
    pairs = [sorted(map(int, pair)) for pair in value or ()]
    return tuple(dict.fromkeys((first, second) for first, second in pairs if first != second))
