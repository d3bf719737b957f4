"""Names of parameters here and in other people's files, as tables that are read both ways.

A row is (our name, theirs). In both, `#` stands for a number and `*` for the rest.
"""

import re
from collections.abc import Iterable, Iterator
from functools import cache

import torch

StateDict = dict[str, torch.Tensor]
Row = tuple[str, str]

# A plain ViT as MAE's authors and those of ViTPose name it; each of the two names the last norm differently.
BACKBONE_NAMES: tuple[Row, ...] = (
    ("embeddings.position_embeddings", "pos_embed"),
    ("embeddings.patch_embeddings.projection.*", "patch_embed.proj.*"),
    ("encoder.layer.#.layernorm_before.*", "blocks.#.norm1.*"),
    ("encoder.layer.#.layernorm_after.*", "blocks.#.norm2.*"),
    ("encoder.layer.#.attention.output.dense.*", "blocks.#.attn.proj.*"),
    ("encoder.layer.#.attention.attention.*", "blocks.#.attn.*"),  # query, key, value: see `split_qkv`
    ("encoder.layer.#.mlp.*", "blocks.#.mlp.*"),
)
MAE_NAMES: tuple[Row, ...] = (*BACKBONE_NAMES, ("layernorm.*", "norm.*"))
VITPOSE_NAMES: tuple[Row, ...] = (*BACKBONE_NAMES, ("layernorm.*", "last_norm.*"))
_DECODER_NAMES: tuple[Row, ...] = (
    ("deconv1.*", "deconv_layers.0.*"),
    ("batchnorm1.*", "deconv_layers.1.*"),
    ("deconv2.*", "deconv_layers.3.*"),
    ("batchnorm2.*", "deconv_layers.4.*"),
    ("conv.*", "final_layer.*"),
)


def vitpose_names(num_heads: int) -> list[Row]:
    """The table of a whole model of the authors' release, which has a first head and further ones."""
    heads = [("heads.0", "keypoint_head")] if num_heads > 1 else [("head", "keypoint_head")]
    heads += [(f"heads.{number}", f"associate_keypoint_heads.{number - 1}") for number in range(1, num_heads)]
    return [
        *((f"backbone.{ours}", f"backbone.{theirs}") for ours, theirs in VITPOSE_NAMES),
        *((f"{our_head}.{ours}", f"{head}.{theirs}") for our_head, head in heads for ours, theirs in _DECODER_NAMES),
    ]


def to_ours(name: str, table: Iterable[Row]) -> str:
    """Our name of their parameter; a name that no row knows stays."""
    return _translate(name, ((theirs, ours) for ours, theirs in table))


def to_theirs(name: str, table: Iterable[Row]) -> str:
    """Their name of our parameter; a name that no row knows stays."""
    return _translate(name, table)


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
