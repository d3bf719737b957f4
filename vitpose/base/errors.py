"""User mistakes that carry their place: the input, box, file or row that they are about.

The text is made from the place: a name opens a part of it, a number is an index into what stands before. The place
`("inputs", 3, "boxes", 0, 1)` reads `inputs[3]: boxes[0][1]`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

Place = tuple[str | int, ...]


class PlacedError(ValueError):
    """A mistake with its place, which a door that knows a better name may replace before the error goes on.

    Args:
        reason: What is wrong, without the place.
        place: Names and indices from the outside to the inside; empty where the place is not known.
        separator: What stands between place and reason; `" "` where the reason goes on with the sentence.
    """

    def __init__(self, reason: str, place: Place = (), separator: str = ": ") -> None:
        super().__init__(reason)
        self.reason = reason
        self.place = place
        self.separator = separator

    def __str__(self) -> str:
        return f"{place_text(self.place)}{self.separator}{self.reason}" if self.place else self.reason

    def __reduce__(self) -> tuple[Any, ...]:  # errors of other processes arrive pickled
        return type(self), (self.reason, self.place, self.separator)


class PlacedTypeError(PlacedError, TypeError):
    """A [`PlacedError`] about a type."""


def place_text(place: Place) -> str:
    """The place in words, such as `inputs[3]: boxes[0][1]`."""
    text = ""
    for step in place:
        text += f"[{step}]" if isinstance(step, int) else f": {step}" if text else step
    return text


def placed(error: Exception, *place: str | int) -> PlacedError:
    """The error with a place in front of its own; a `TypeError` stays one, what is no [`PlacedError`] becomes one."""
    if isinstance(error, PlacedError):
        return type(error)(error.reason, (*place, *error.place), error.separator)
    return (PlacedTypeError if isinstance(error, TypeError) else PlacedError)(str(error), place)


@contextmanager
def at_place(*place: str | int) -> Iterator[None]:
    """Put a place in front of that of errors raised in the block, see [`placed`]."""
    try:
        yield
    except (TypeError, ValueError, OSError) as error:
        raise placed(error, *place) from error
