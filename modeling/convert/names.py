"""Names of parameters here and in other people's files: rows that are read both ways.

A row is (our name, theirs). In both, `#` stands for a number and `*` for the rest.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache

import torch

StateDict = dict[str, torch.Tensor]
Row = tuple[str, str]


def to_ours(name: str, table: Iterable[Row]) -> str:
    """Our name of their parameter; a name that no row knows stays."""
    return _translate(name, ((theirs, ours) for ours, theirs in table))


def to_theirs(name: str, table: Iterable[Row]) -> str:
    """Their name of our parameter; a name that no row knows stays."""
    return _translate(name, table)


def all_to_ours(weights: StateDict, table: Sequence[Row]) -> StateDict:
    """Their tensors under our names, with query, key and value apart.

    Raises:
        ValueError: Two tensors are of one parameter, as where a file mixes the names of two projects.
    """
    ours: StateDict = {}
    sources: dict[str, str] = {}
    for source, tensor in weights.items():
        for part, value in split_qkv({source: tensor}).items():
            name = to_ours(part, table)
            if name in ours:
                raise ValueError(
                    f"{sources[name]} and {source} are both the model's {name}. Which of them it computes with is not "
                    "known: save a state dict with one of them."
                )
            ours[name], sources[name] = value, source
    return ours


def is_theirs(name: str, table: Iterable[Row]) -> bool:
    """True if a row knows their name."""
    return any(_compiled(theirs).fullmatch(name) for _, theirs in table)


def split_qkv(weights: StateDict) -> StateDict:
    """Split each `attn.qkv` (3C rows: query, key, value in that order) into `attn.query`, `attn.key`, `attn.value`."""
    split: StateDict = {}
    for name, value in weights.items():
        before, qkv, kind = name.rpartition(".attn.qkv.")
        parts = zip(("query", "key", "value"), value.chunk(3), strict=True) if qkv else ()
        split |= {f"{before}.attn.{part}.{kind}": rows for part, rows in parts} or {name: value}
    return split


def join_qkv(weights: StateDict) -> StateDict:
    """Undo `split_qkv`."""
    joined: dict[str, list[torch.Tensor]] = {}
    for name, value in weights.items():
        joined.setdefault(joined_name(name), []).append(value)
    return {name: torch.cat(parts) if len(parts) > 1 else parts[0] for name, parts in joined.items()}


def joined_name(name: str) -> str:
    """The name of the tensor that holds a parameter once query, key and value, in that order, are joined."""
    return re.sub(r"\.attn\.(query|key|value)\.", ".attn.qkv.", name)


def numbers(pattern: str, names: Iterable[str]) -> set[int]:
    """The numbers that a regular expression finds in names."""
    return {int(match[1]) for name in names if (match := re.search(pattern, name))}


def short_names(names: Iterable[str]) -> str:
    """Names for a message, those that differ by a number alone told once: `blocks.#.ls1.gamma`."""
    return ", ".join(dict.fromkeys(re.sub(r"(?<=\.)\d+(?=\.)", "#", name) for name in names))


def _translate(name: str, rows: Iterable[Row]) -> str:
    for source, target in rows:
        match = _compiled(source).fullmatch(name)
        if match:
            return _filled(target, iter(match.groups()))
    return name


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(re.escape(pattern).replace(r"\#", r"(\d+)").replace(r"\*", "(.+)"))


def _filled(pattern: str, values: Iterator[str]) -> str:
    return re.sub(r"[#*]", lambda _: next(values), pattern)
