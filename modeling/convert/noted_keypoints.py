"""The keypoints that mmpose 1.x notes in its checkpoints: a hint beside the weights, which never stops a conversion."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..keypoint_schemas import KeypointSchema, known_schema, labels_in_order, schema_from_labels

logger = logging.getLogger(__name__)

Pairs = tuple[tuple[int, int], ...]


def noted_schema(content: Any) -> KeypointSchema | None:
    """The schema of the dataset that a checkpoint of mmpose 1.x was trained on; None where a file notes none.

    Keypoints of a known dataset give its schema. Others keep the mirror pairs and the skeleton that the file notes, as
    far as these are pairs of its keypoints, by their indices or names; the log counts what is not.
    """
    meta = content.get("meta") if isinstance(content, Mapping) else None
    noted = meta.get("dataset_meta") if isinstance(meta, Mapping) else None
    names = noted.get("keypoint_id2name") if isinstance(noted, Mapping) else None
    if not isinstance(noted, Mapping) or names in (None, {}):
        return None
    if not _are_names(names):
        logger.warning("The names of keypoints that the file notes are no different texts by indices: not used.")
        return None
    labels = labels_in_order(names)
    return known_schema(labels) or _own_schema(labels, noted, _places(names))


def _are_names(names: Any) -> bool:
    """True if these are different names by different indices."""
    if not isinstance(names, Mapping) or not all(isinstance(name, str) and name for name in names.values()):
        return False
    indices = {int(index) for index in names if str(index).isdecimal()}
    return 0 < len(indices) == len(names) == len(set(names.values()))


def _places(names: Mapping[Any, str]) -> dict[int | str, int]:
    """The place of a keypoint in the order of the heatmaps, by its index, as a number or a text, and by its name."""
    ordered = sorted((int(index), name) for index, name in names.items())
    places: dict[int | str, int] = {}
    for place, (index, _) in enumerate(ordered):
        places |= {index: place, str(index): place}
    return places | {name: place for place, (_, name) in enumerate(ordered)}


def _own_schema(labels: list[str], noted: Mapping[str, Any], places: dict[int | str, int]) -> KeypointSchema:
    """The schema of keypoints that are no known dataset's."""
    schema, name = schema_from_labels(labels), noted.get("dataset_name")
    flip_pairs, no_mirrors = _pairs(noted.get("flip_pairs"), places, each_once=True)
    edges, no_edges = _pairs(noted.get("skeleton_links"), places)
    if no_mirrors or no_edges:
        logger.warning(
            "The file notes %d mirror pairs and %d skeleton links that are no pairs of its keypoints: left out.",
            no_mirrors,
            no_edges,
        )
    return replace(
        schema,
        name=name if isinstance(name, str) and name else schema.name,
        flip_pairs=flip_pairs or schema.flip_pairs,
        edges=edges,
    )


def _pairs(noted: Any, places: dict[int | str, int], *, each_once: bool = False) -> tuple[Pairs, int]:
    """Pairs of places, each once, and how many of the noted are none. mmpose notes a mirror pair from both its ends.

    Args:
        noted: What the file has, of any type.
        places: The place of a keypoint, by its index and by its name.
        each_once: A keypoint is in one pair alone: a further one counts as none.
    """
    given = list(noted) if isinstance(noted, (list, tuple, set)) else [] if noted is None else [noted]
    pairs: dict[tuple[int, int], None] = {}
    num_wrong = 0
    for pair in given:
        ends = sorted(_places_of(pair, places))
        taken = {end for known in pairs for end in known} if each_once else set()
        if len(ends) != 2 or (tuple(ends) not in pairs and taken & set(ends)):
            num_wrong += 1
        else:
            pairs[ends[0], ends[1]] = None
    return tuple(pairs), num_wrong


def _places_of(pair: Any, places: dict[int | str, int]) -> set[int]:
    """The two places of a pair; of anything else, another number of them."""
    if not isinstance(pair, (list, tuple)) or len(pair) != 2:
        return set()
    return {places[end] for end in pair if type(end) in (int, str) and end in places}
