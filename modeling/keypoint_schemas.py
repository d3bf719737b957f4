"""Keypoint schemas: what the keypoints of a dataset are called, how they mirror, and how they are scored.

A schema is data. The named ones are the JSON files in `schemas/`, whose figures come from public dataset descriptions;
a saved model's config carries its own schemas as dictionaries and needs no file. Two sets of figures are not published
as such: `apt36k` repeats `ap10k`, whose keypoints it shares, and the `lspet` sigmas are COCO's for the limb joints and
COCO's shoulder value for neck and head top, as CrowdPose has it (AI Challenger's own are on a two to six times
smaller scale, so mixing the two would let neck and head top rule the score).
"""

import json
import logging
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

from vitpose.base.names import unknown_name

from .keypoint_sides import mirror_pairs, same_keypoints

logger = logging.getLogger(__name__)

_OPTIONAL = ("category", "paper", "homepage")
SCHEMA_FOLDER = Path(__file__).with_name("schemas")


@dataclass(frozen=True, kw_only=True)
class KeypointSchema:
    """The keypoints of one dataset. Every index below counts from 0 in the order of `keypoints`.

    Args:
        name: Name of the dataset, such as `"coco"`.
        keypoints: Names of the K keypoints, all different, in the order of the annotations and of a model's heatmaps.
        flip_pairs: Pairs of keypoints that swap when the image is mirrored; each keypoint is in one pair at most.
        upper_body: Keypoints of the upper half, for half-body augmentation; empty where the notion does not apply.
        lower_body: Keypoints of the lower half, none of them in `upper_body`.
        edges: Pairs of keypoints to join by a line in a drawing.
        sigmas: K positive fall-offs of the object keypoint similarity (OKS), relative to the root of the area of the
            object; None where the dataset is not scored by OKS.
        joint_weights: K weights of the keypoints in the loss, 0 or more.
        category: What the keypoints are of: `"person"`, `"animal"` or `"hand"`.
        paper: Title of the paper that presents the dataset.
        homepage: Where the dataset lives.

    Raises:
        TypeError: A field is not of its type.
        ValueError: A field contradicts another or is out of range.
    """

    name: str
    keypoints: tuple[str, ...]
    flip_pairs: tuple[tuple[int, int], ...]
    upper_body: tuple[int, ...]
    lower_body: tuple[int, ...]
    edges: tuple[tuple[int, int], ...]
    sigmas: tuple[float, ...] | None
    joint_weights: tuple[float, ...]
    category: str = "person"
    paper: str = ""
    homepage: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise TypeError(f"A keypoint schema needs a name: expected a non-empty string, got {self.name!r}.")
        self._check_types()
        self._check_names()
        self._check_pairs("flip_pairs")
        self._check_pairs("edges")
        self._check_unique("flip_pairs", [index for pair in self.flip_pairs for index in pair])
        self._check_indices("upper_body", self.upper_body)
        self._check_indices("lower_body", self.lower_body)
        self._check_unique("upper_body and lower_body", self.upper_body + self.lower_body)
        if self.sigmas is not None:
            self._check_figures("sigmas", self.sigmas)
            if min(self.sigmas) == 0:
                self._fail("sigmas", "expected figures above 0, got 0; use None for a dataset without OKS")
        self._check_figures("joint_weights", self.joint_weights)

    @property
    def num_keypoints(self) -> int:
        """K, the number of keypoints."""
        return len(self.keypoints)

    @property
    def flip_index(self) -> tuple[int, ...]:
        """K indices: keypoint i of the mirrored image is keypoint `flip_index[i]` of the image."""
        return flip_index_of(self.flip_pairs, self.num_keypoints)

    def to_dict(self) -> dict[str, Any]:
        """The schema as a dictionary of strings, numbers and lists, ready for JSON."""
        return _to_lists(asdict(self))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "KeypointSchema":
        """Build a schema from what `to_dict` or a JSON file gives.

        Raises:
            ValueError: A key is unknown or missing, or a value does not pass the checks of the class.
        """
        required = [field.name for field in fields(cls) if field.name not in _OPTIONAL]
        unknown = sorted(set(values) - {field.name for field in fields(cls)})
        missing = [name for name in required if name not in values]
        if unknown or missing:
            raise ValueError(
                f"A keypoint schema has the keys {required} and optionally {', '.join(_OPTIONAL)}: "
                f"got unknown keys {unknown}, missing keys {missing}. Remove or add them."
            )
        return cls(**{key: _to_tuples(value) for key, value in values.items()})

    def _fail(self, field: str, problem: str, *, error: type[Exception] = ValueError) -> None:
        raise error(f"Keypoint schema {self.name!r}, {field}: {problem}.")

    def _check_types(self) -> None:
        for field in ("keypoints", "flip_pairs", "upper_body", "lower_body", "edges", "sigmas", "joint_weights"):
            value = getattr(self, field)
            if not isinstance(value, tuple) and not (field == "sigmas" and value is None):
                problem = f"expected a tuple, got {type(value).__name__}; KeypointSchema.from_dict takes lists"
                self._fail(field, problem, error=TypeError)

    def _check_names(self) -> None:
        if not self.keypoints or not all(isinstance(name, str) and name for name in self.keypoints):
            problem = f"expected one or more non-empty strings, got {self.keypoints!r}"
            self._fail("keypoints", problem, error=TypeError)
        self._check_unique("keypoints", self.keypoints)

    def _check_unique(self, field: str, values: Iterable[Any]) -> None:
        values = list(values)
        repeated = sorted({value for value in values if values.count(value) > 1})
        if repeated:
            self._fail(field, f"expected each entry once, got {repeated} more than once")

    def _check_pairs(self, field: str) -> None:
        for pair in getattr(self, field):
            if not isinstance(pair, tuple) or len(pair) != 2 or pair[0] == pair[1]:
                self._fail(field, f"expected pairs of two different keypoint indices, got {pair!r}")
            self._check_indices(field, pair)

    def _check_indices(self, field: str, indices: Iterable[int]) -> None:
        for index in indices:
            # bool is a subclass of int, and True as an index is a mistake
            if type(index) is not int or not 0 <= index < self.num_keypoints:
                self._fail(field, f"expected indices from 0 to {self.num_keypoints - 1}, got {index!r}")

    def _check_figures(self, field: str, figures: tuple[float, ...]) -> None:
        if len(figures) != self.num_keypoints:
            self._fail(field, f"expected {self.num_keypoints} figures, one per keypoint, got {len(figures)}")
        for figure in figures:
            if type(figure) not in (int, float) or not math.isfinite(figure) or figure < 0:
                self._fail(field, f"expected finite numbers of 0 or more, got {figure!r}")


def list_keypoint_schemas() -> list[str]:
    """Names of the schemas that come with vitpose, in alphabetical order."""
    return sorted(path.stem for path in SCHEMA_FOLDER.glob("*.json"))


@cache
def get_keypoint_schema(name: str) -> KeypointSchema:
    """The schema of a dataset by its name, such as `"coco"`.

    Raises:
        ValueError: No schema has that name; the message lists the known ones. In a copy of this code that
            a model brought along the schema files are absent, and the message says where they are.
    """
    known = list_keypoint_schemas()
    if not known:
        raise ValueError(
            f"The keypoint schema {name!r} cannot be looked up by name here: the schema files come with the vitpose "
            "package, this is a copy of its code. Install vitpose, or read the schemas in the model's config."
        )
    if name not in known:
        raise ValueError(unknown_name("keypoint schema", name, known))
    return KeypointSchema.from_dict(json.loads((SCHEMA_FOLDER / f"{name}.json").read_text(encoding="utf-8")))


def read_keypoint_schema(path: str | os.PathLike[str]) -> KeypointSchema:
    """Read a custom schema from a JSON file with the fields of [`KeypointSchema`]; `vitpose schema` writes such a file.

    Raises:
        ValueError: There is no such file, or it holds no schema.
    """
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} is no keypoint schema: {error}.") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path} is no keypoint schema: expected an object, got a {type(values).__name__}.")
    return KeypointSchema.from_dict(values)


def flip_index_of(flip_pairs: Iterable[Sequence[int]], num_keypoints: int) -> tuple[int, ...]:
    """Flip pairs as indices: keypoint i of the mirrored image is keypoint `index[i]` of the image."""
    index = list(range(num_keypoints))
    for left, right in flip_pairs:
        index[left], index[right] = right, left
    return tuple(index)


def labels_in_order(labels: Mapping[Any, str]) -> list[str]:
    """The labels of an `id2label`, whose indices are strings in JSON, by their indices."""
    return [labels[index] for index in sorted(labels, key=int)]


def guess_schema(
    labels: Mapping[Any, str] | None, num_labels: int | None, edges: Iterable[Any] | None = None
) -> KeypointSchema:
    """The schema of a checkpoint without one: after its labels, else COCO's, else numbered keypoints."""
    if labels:
        return schema_from_labels(labels_in_order(labels), edges)
    if num_labels is None or num_labels == 17:
        return get_keypoint_schema("coco")
    return schema_from_labels([f"keypoint_{index}" for index in range(num_labels)], edges)


def schema_from_labels(labels: list[str], edges: Iterable[Any] | None = None) -> KeypointSchema:
    """The schema of a checkpoint that only names its keypoints, as stock files do.

    Names equal to those of a known dataset (`"L_Eye"` counts as `"left_eye"`) give that dataset's schema; other names
    give a schema whose mirror pairs follow from left and right in them, without sigmas.

    Args:
        labels: Names of the keypoints, in the order of the heatmaps.
        edges: Pairs of keypoints to join by a line, where the names are not those of a known dataset.
    """
    known = known_schema(labels)
    if known is not None:
        return known
    return KeypointSchema(
        name="custom",
        keypoints=tuple(labels),
        flip_pairs=mirror_pairs(labels),
        upper_body=(),
        lower_body=(),
        edges=readable_edges(edges or (), len(labels)),
        sigmas=None,
        joint_weights=(1.0,) * len(labels),
    )


def known_schema(labels: Sequence[str]) -> KeypointSchema | None:
    """The schema that comes with vitpose and names these keypoints in this order, in whatever spelling."""
    for name in sorted(list_keypoint_schemas(), key=lambda name: name != "coco"):  # COCO first: others share its names
        schema = get_keypoint_schema(name)
        if schema.num_keypoints == len(labels) and same_keypoints(schema.keypoints, labels):
            return schema
    return None


def readable_edges(edges: Iterable[Any], num_keypoints: int) -> tuple[tuple[int, int], ...]:
    """The edges of somebody else's file as pairs of indices from 0; what is none is left out, and counted in a warning.

    Edges that name the last keypoint by the number of keypoints, and none by 0, count from 1, as COCO's files do.
    """
    given = [tuple(edge) if isinstance(edge, (list, tuple)) else (edge,) for edge in edges]
    pairs = [edge for edge in given if len(edge) == 2 and all(type(index) is int for index in edge)]
    indices = {index for pair in pairs for index in pair}
    if num_keypoints in indices and min(indices) > 0:
        _warn_once(f"edges count from 1, as they name keypoint {num_keypoints} of {num_keypoints}: read as such.")
        pairs = [(first - 1, second - 1) for first, second in pairs]
    found: dict[frozenset[int], tuple[int, int]] = {}
    for first, second in pairs:
        if first != second and min(first, second) >= 0 and max(first, second) < num_keypoints:
            found.setdefault(frozenset((first, second)), (first, second))
    if len(found) < len(given):
        _warn_once(
            f"edges: {len(given) - len(found)} of {len(given)} are no pairs of two different keypoints from 0 to "
            f"{num_keypoints - 1}, or come twice: left out."
        )
    return tuple(found.values())


@cache
def _warn_once(message: str) -> None:
    logger.warning(message)


def _to_tuples(value: Any) -> Any:
    return tuple(_to_tuples(item) for item in value) if isinstance(value, (list, tuple)) else value


def _to_lists(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _to_lists(item) for key, item in value.items()}
    return [_to_lists(item) for item in value] if isinstance(value, tuple) else value
