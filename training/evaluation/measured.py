"""What all evaluations have in common, whatever they measure."""

from typing import Protocol


class Measured(Protocol):
    """The result of an evaluation."""

    @property
    def metrics(self) -> dict[str, float]:
        """The metrics by name."""
