"""Keypoint names of annotation files compared with those of a schema."""

import logging
from collections.abc import Sequence
from pathlib import Path

from vitpose.base.names import first_of
from vitpose.modeling.keypoint_schemas import KeypointSchema, get_keypoint_schema, list_keypoint_schemas
from vitpose.modeling.keypoint_sides import keypoint_sides, unify_names

logger = logging.getLogger(__name__)

# files that name other keypoints than they hold: COCO-WholeBody the body's alone, Halpe those of face and hands too
_NAMED_COUNTS = {"coco_wholebody": (17, 133), "halpe26": (26, 136)}
_SHORT_FORMS = {"f": "front", "b": "back"}


def mirror_problem(schema: KeypointSchema) -> str | None:
    """What mirrored photos would teach wrongly, as half a sentence; None where nothing speaks for it.

    The schemas that ship are known to be right: a hand of its own mirrors into the other hand, keypoint by keypoint.
    """
    ships = schema.name in list_keypoint_schemas() and get_keypoint_schema(schema.name) == schema
    if ships or schema.num_keypoints == 1:
        return None
    if not schema.flip_pairs:
        names = first_of(schema.keypoints)
        return (
            f"none of the {schema.num_keypoints} keypoints of {schema.name!r} ({names}) is the mirror image of another"
        )
    paired = {index for pair in schema.flip_pairs for index in pair}
    sides = keypoint_sides(schema.keypoints)
    alone = [schema.keypoints[i] for i, side in enumerate(sides) if side != "center" and i not in paired]
    return f"of {schema.name!r} these have no other side: {first_of(alone)}" if alone else None


def check_keypoint_names(names: Sequence[str], schema: KeypointSchema, path: Path) -> None:
    """Refuse another count or order of keypoints; warn of other names, since datasets spell them in several ways."""
    if len(names) not in _NAMED_COUNTS.get(schema.name, (schema.num_keypoints,)):
        raise ValueError(
            f"{path} has {len(names)} keypoints ({', '.join(map(str, names))}), the schema {schema.name!r} expects "
            f"{schema.num_keypoints}.{_owner_of(names)} Choose the schema of this file."
        )
    names = list(map(str, names))
    pairs = list(zip(names, schema.keypoints, strict=False))  # as many as both have
    words, own_words = _words(names), _words(schema.keypoints)
    places = {own: place for place, own in enumerate(own_words)}
    for place, (name, own) in enumerate(zip(names, words, strict=True)):
        if places.get(own, place) != place:
            raise ValueError(
                f"{path} calls keypoint {place} {name!r}, which is keypoint {places[own]} of the schema "
                f"{schema.name!r}: the file is of another dataset, or in another order.{_owner_of(names)} Choose the "
                "schema of this file."
            )
    alike = [_same(own, other) for own, other in zip(words, own_words, strict=False)]
    unlike = [f"{name} / {expected}" for (name, expected), same in zip(pairs, alike, strict=True) if not same]
    if unlike:
        message = "%s and the schema %r name keypoints differently, check that they mean the same: %s."
        logger.warning(message, path, schema.name, ", ".join(unlike))


def _words(names: Sequence[str]) -> list[frozenset[str]]:
    """Words of each keypoint's name without order, case and abbreviation: `L_F_Paw` equals `left_front_paw`."""
    unified = (name.split("_") for name in unify_names(names))
    return [frozenset(_SHORT_FORMS.get(word, word) for word in words) for words in unified]


def _same(words: frozenset[str], others: frozenset[str]) -> bool:
    """Whether one name contains the other, as `top_head` does `head`."""
    return words <= others or others <= words


def _owner_of(names: Sequence[str]) -> str:
    """Sentence that names the known datasets with these keypoints; empty where there is none."""
    words = _words(names)
    owners = [name for name in list_keypoint_schemas() if _words(get_keypoint_schema(name).keypoints) == words]
    return f" Its keypoints are those of {' or '.join(owners)}." if owners else ""
