"""What all evaluations have in common, whatever they measure."""

from collections.abc import Mapping
from statistics import fmean
from typing import Protocol


class Measured(Protocol):
    """The result of an evaluation."""

    @property
    def metrics(self) -> dict[str, float]:
        """The metrics by name."""

    @property
    def merit(self) -> float:
        """The number that evaluations of a run are compared by, higher is better."""


def mean_merit(evaluations: Mapping[str, Measured]) -> float:
    """The merit of an evaluation of several datasets: their mean."""
    return fmean(evaluation.merit for evaluation in evaluations.values())
