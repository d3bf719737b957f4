"""Left and right in the names of keypoints, whatever a tool or a person calls them.

A side is a word (`left_eye`, `EyeLeft`, `Left eye`) or a letter (`L_Eye`, `eye.l`, `LEye`), or glued to another word
(`lefteye`, `leye`, `lf_paw`, `eyel`). What is less than a whole word counts only where the other side's name is there
too: letters are everywhere.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Literal, NamedTuple

Side = Literal["left", "right", "center"]

# "LFPaw2" is made of LF, Paw and 2; a run of capitals ends before the one that begins the next word.
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_a-zA-Z]+")
# In the languages that labels are most often written in.
_SIDE_WORDS: dict[Side, re.Pattern[str]] = {
    "left": re.compile("left|lft|link(?:s|e[mnrs]?)|gauche|izquierd[oa]|sinistr[oa]|esquerd[oa]|左"),
    "right": re.compile("right|rgt|recht(?:s|e[mnrs]?)|droite?|derech[oa]|destr[oa]|direit[oa]|右"),
}
_SIDE_LETTERS: dict[str, Side] = {"l": "left", "r": "right"}
_SHORT_SIDES: dict[str, Side] = {
    **_SIDE_LETTERS,
    **{"izq": "left", "der": "right", "esq": "left", "dir": "right", "sx": "left", "dx": "right", "li": "left"},
    "re": "right",
}
_OTHER: dict[Side, Side] = {"left": "right", "right": "left"}


class _Reading(NamedTuple):
    """One way to read a name: its side, and the words that are left without it."""

    side: Side
    rest: tuple[str, ...]


def keypoint_sides(names: Sequence[str]) -> tuple[Side, ...]:
    """The person's own side of each keypoint; "center" for those that have none.

    Args:
        names: All keypoints of one schema, whose names explain each other.
    """
    return tuple(reading.side if reading else "center" for reading in _read(names))


def mirror_pairs(names: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """Pairs of keypoints whose names differ by their side alone, the left one first.

    Args:
        names: All keypoints of one schema.
    """
    found: dict[_Reading, list[int]] = {}
    for index, reading in enumerate(_read(names)):
        if reading:
            found.setdefault(reading, []).append(index)
    pairs = []
    for reading, places in found.items():
        others = found.get(reading._replace(side=_OTHER[reading.side]), [])
        if reading.side == "left" and len(places) == len(others) == 1:
            pairs.append((places[0], others[0]))
    return tuple(pairs)


def unify_names(names: Iterable[str]) -> list[str]:
    """Names of keypoints in one spelling: lower case, the side first, words joined by `_`.

    `L_Eye`, `eyeLeft` and `leye` (beside a `reye`) are all `left_eye`.

    Args:
        names: All keypoints of one schema.
    """
    names = list(names)
    unified = []
    for name, reading in zip(names, _read(names), strict=True):
        words = (reading.side, *reading.rest) if reading else _words(name)
        unified.append("_".join(words) or name)
    return unified


def same_keypoints(names: Iterable[str], others: Iterable[str]) -> bool:
    """True if two lists name the same keypoints in the same order, in whatever spelling."""
    return unify_names(names) == unify_names(others)


def _read(names: Sequence[str]) -> list[_Reading | None]:
    """Each name's side and rest: by a whole word in any case, by less where the other side is there as well."""
    words = [_words(name) for name in names]
    read = [next(_by_whole_word(own), None) for own in words]
    for way in (_by_glued_word, _by_short_word, _by_glued_letter):
        open_names = {index: list(way(words[index])) for index, reading in enumerate(read) if reading is None}
        known = {reading for reading in chain(read, *open_names.values()) if reading}
        for index, readings in open_names.items():
            matched = (own for own in readings if own._replace(side=_OTHER[own.side]) in known)
            read[index] = next(matched, None)
        if way is _by_short_word and any(read[index] for index in open_names):  # so this is how they are spelled
            named = (next((own for own in way(name) if not "".join(own.rest).isdecimal()), None) for name in words)
            read = [reading or own for reading, own in zip(read, named, strict=True)]
    return read


def _words(name: str) -> tuple[str, ...]:
    return tuple(word.lower() for word in _WORDS.findall(str(name)))


def _by_whole_word(words: tuple[str, ...]) -> Iterator[_Reading]:
    for place, word in enumerate(words):
        for side, pattern in _SIDE_WORDS.items():
            if pattern.fullmatch(word):
                yield _Reading(side, _without(words, place))


def _by_glued_word(words: tuple[str, ...]) -> Iterator[_Reading]:
    for place, word in enumerate(words):
        for side, pattern in _SIDE_WORDS.items():
            if match := pattern.search(word):
                rest = word[: match.start()], word[match.end() :]
                yield _Reading(side, _without(words, place, *rest))


def _by_short_word(words: tuple[str, ...]) -> Iterator[_Reading]:
    for place, word in enumerate(words):
        if word in _SHORT_SIDES:
            yield _Reading(_SHORT_SIDES[word], _without(words, place))


def _by_glued_letter(words: tuple[str, ...]) -> Iterator[_Reading]:
    for place, word in enumerate(words):
        if len(word) > 1 and word[0] in _SIDE_LETTERS:
            yield _Reading(_SIDE_LETTERS[word[0]], _without(words, place, word[1:]))
        if len(word) > 1 and word[-1] in _SIDE_LETTERS:
            yield _Reading(_SIDE_LETTERS[word[-1]], _without(words, place, word[:-1]))


def _without(words: tuple[str, ...], place: int, *rest: str) -> tuple[str, ...]:
    """The words with one of them replaced by what is left of it."""
    return (*words[:place], *filter(None, rest), *words[place + 1 :])
