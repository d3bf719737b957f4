"""Messages about unknown names, and short lists of many values."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

LONGEST_LIST = 40  # names beside a near one


def unknown_name(kind: str, name: object, known: Iterable[str], *, remedy: str = "") -> str:
    """The text of an error about an unknown name.

    Args:
        kind: What is named, such as `"preset"`.
        name: What came.
        known: The names that there are, in the order to list them.
        remedy: A further sentence for the end.

    Returns:
        `kind: expected one of a, b, got 'x'. Did you mean 'a'?`, without the question where nothing is near, and
        without the list where it is long and the question says enough.
    """
    known = list(known)
    lower = {other.lower(): other for other in reversed(known)}
    near = get_close_matches(str(name).lower(), lower, n=1)
    hint = f"Did you mean {lower[near[0]]!r}?" if near else ""
    expected = "a known name" if near and len(known) > LONGEST_LIST else f"one of {', '.join(known)}"
    message = f"{kind}: expected {expected}, got {name!r}."
    return " ".join(part for part in (message, hint, remedy) if part)


def first_of(values: Sequence[object], most: int = 5) -> str:
    """List at most so many values and count the others: `a, b, c, d, e and 7 more`."""
    more = f" and {len(values) - most} more" if len(values) > most else ""
    return ", ".join(map(str, values[:most])) + more
