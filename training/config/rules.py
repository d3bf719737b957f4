"""Rules of the fields of a recipe: explanation, range, and where a field may change or does not apply."""

import math
from collections.abc import Callable
from copy import copy
from dataclasses import Field, dataclass, field
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Range:
    """The numbers that a field allows, in words and as a test; None is always allowed."""

    words: str
    holds: Callable[[float], bool]


ONE_OR_MORE = Range("1 or more", lambda value: 1 <= value < math.inf)
POSITIVE = Range("more than 0", lambda value: 0 < value < math.inf)
ZERO_OR_MORE = Range("0 or more", lambda value: 0 <= value < math.inf)
PROBABILITY = Range("a probability from 0 to 1", lambda value: 0 <= value <= 1)
BELOW_ONE = Range("0 or more and less than 1", lambda value: 0 <= value < 1)


@dataclass(frozen=True, kw_only=True)
class Rules:
    """The rules of one field.

    Args:
        help: The explanation that `--help` shows.
        range: Allowed numbers; None where the type says it all.
        resumable: May differ between a run and its continuation, as it changes no number of the training.
        pose_only: Says how keypoints are learned or measured, so that masked-image pre-training leaves it at its
            default.
        per_dataset: May differ between the datasets of a mixture.
    """

    help: str
    range: Range | None = None
    resumable: bool = False
    pose_only: bool = False
    per_dataset: bool = False


def setting(
    default: T,
    help: str,
    range: Range | None = None,
    *,
    resumable: bool = False,
    pose_only: bool = False,
    per_dataset: bool = False,
) -> T:
    """Declare a field of a section with its rules, which are those of `Rules`."""
    rules = Rules(help=help, range=range, resumable=resumable, pose_only=pose_only, per_dataset=per_dataset)
    return field(default_factory=lambda: copy(default), metadata={"rules": rules})


def rules_of(declared: "Field[Any]") -> Rules:
    """The rules that a field was declared with by `setting`."""
    return declared.metadata["rules"]
