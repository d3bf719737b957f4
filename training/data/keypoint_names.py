"""Keypoint names of annotation files compared with those of a schema."""

import logging
import re
from collections.abc import Sequence
from pathlib import Path

from vitpose.modeling.keypoint_schemas import KeypointSchema, get_keypoint_schema, list_keypoint_schemas

logger = logging.getLogger(__name__)

# files that name other keypoints than they hold: COCO-WholeBody the body's alone, Halpe those of face and hands too
_NAMED_COUNTS = {"coco_wholebody": (17, 133), "halpe26": (26, 136)}
_SHORT_FORMS = {"l": "left", "r": "right", "f": "front", "b": "back"}


def check_keypoint_names(names: Sequence[str], schema: KeypointSchema, path: Path) -> None:
    """Refuse another count or order of keypoints; warn of other names, since datasets spell them in several ways."""
    if len(names) not in _NAMED_COUNTS.get(schema.name, (schema.num_keypoints,)):
        raise ValueError(
            f"{path} has {len(names)} keypoints ({', '.join(map(str, names))}), the schema {schema.name!r} expects "
            f"{schema.num_keypoints}.{_owner_of(names)} Choose the schema of this file."
        )
    pairs = list(zip(names, schema.keypoints, strict=False))  # as many as both have
    places = {_words(name): place for place, name in enumerate(schema.keypoints)}
    for place, (name, _) in enumerate(pairs):
        if places.get(_words(name), place) != place:
            raise ValueError(
                f"{path} calls keypoint {place} {name!r}, which is keypoint {places[_words(name)]} of the schema "
                f"{schema.name!r}: the file is of another dataset, or in another order.{_owner_of(names)} Choose the "
                "schema of this file."
            )
    unlike = [f"{name} / {expected}" for name, expected in pairs if not _same(_words(name), _words(expected))]
    if unlike:
        message = "%s and the schema %r name keypoints differently, check that they mean the same: %s."
        logger.warning(message, path, schema.name, ", ".join(unlike))


def _words(name: str) -> frozenset[str]:
    """Words of a keypoint's name without order, case and abbreviation: `L_F_Paw` equals `left_front_paw`."""
    return frozenset(_SHORT_FORMS.get(word, word) for word in re.findall("[a-z]+|[0-9]+", str(name).lower()))


def _same(words: frozenset[str], others: frozenset[str]) -> bool:
    """Whether one name contains the other, as `top_head` does `head`."""
    return words <= others or others <= words


def _owner_of(names: Sequence[str]) -> str:
    """Sentence that names the known datasets with these keypoints; empty where there is none."""
    words = [_words(name) for name in names]
    schemas = [get_keypoint_schema(name) for name in list_keypoint_schemas()]
    owners = [schema.name for schema in schemas if [_words(name) for name in schema.keypoints] == words]
    return f" Its keypoints are those of {' or '.join(owners)}." if owners else ""
