"""Which photos to annotate first: those whose keypoints a model is least sure of."""

import heapq
from collections.abc import Iterable
from typing import NamedTuple

from vitpose.processing.people_vitpose import People

from ..forms.base import Photo


class Pick(NamedTuple):
    """A photo that was chosen.

    Args:
        uncertainty: The mean of its people's `uncertainties`.
        photo: Which.
        people: What was found in it.
    """

    uncertainty: float
    photo: Photo
    people: People


def least_sure(found: Iterable[tuple[Photo, People]], count: int) -> tuple[list[Pick], int]:
    """Choose the photos whose people the model is least sure of.

    Args:
        found: Each photo and its people, predicted with the flip test: where mirrored photos give other places,
            averaged heatmaps have lower peaks.
        count: How many photos to choose; no more than these are kept in memory.

    Returns:
        The photos, the least sure one first, and how many could not be ranked as nobody was found in them.
    """
    chosen: list[tuple[float, int, Pick]] = []
    num_empty = 0
    for photo, people in found:
        if not len(people):
            num_empty += 1
            continue
        pick = Pick(people.uncertainties.mean().item(), photo, people)
        add = heapq.heappush if len(chosen) < count else heapq.heappushpop
        add(chosen, (pick.uncertainty, -photo.number, pick))  # of equal ones the earlier photo counts more
    return [pick for *_, pick in sorted(chosen, reverse=True)], num_empty
