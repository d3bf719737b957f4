"""Partial fine-tuning: which parameters are frozen, and how many are trained (ViTPose paper, table 6)."""

import re
from collections.abc import Iterable
from typing import Literal, NamedTuple

from torch import nn

from vitpose.base.names import unknown_name

from .modeling_vitpose_backbone import ViTPoseBackbone

FrozenPart = Literal["attention", "ffn"]

# Parts of a model by the names of their parameters, in the order of a report; the first that matches counts.
_PARTS = {
    "patch embedding": r"embeddings\.patch_embeddings\.",
    "position table": r"embeddings\.position_embeddings",
    "knowledge token": r"embeddings\.knowledge\.",
    "attention": r"\.attention\.",
    "feed-forward": r"\.mlp\.",
    "convolution": r"\.convolution\.",
    "norms": r"layernorm",
    "heads": r"^heads?\.",
}

# Modules of a block that are frozen with a part (released configs).
_FROZEN_TOGETHER = {
    "attention": ("attention", "layernorm_before", "drop_path_attention"),
    "ffn": ("mlp", "layernorm_after", "drop_path_mlp"),
}


class PartSize(NamedTuple):
    """Number of parameters of a part of a model, and of those that are trained."""

    trainable: int
    total: int


def frozen_modules(backbone: ViTPoseBackbone, part: FrozenPart) -> list[nn.Module]:
    """The modules that are frozen with a part: the norm before it, its drop path, and with the FFN the patch embedding.

    The position table, a parameter of no module below, goes with the FFN too (released configs); see `freeze`.
    """
    modules: list[nn.Module] = [backbone.embeddings.patch_embeddings] if part == "ffn" else []
    return modules + [layer.get_submodule(name) for layer in backbone.encoder.layer for name in _FROZEN_TOGETHER[part]]


def freeze(backbone: ViTPoseBackbone, part: FrozenPart) -> list[nn.Module]:
    """Take the parameters of a part out of training; returns the modules that have to stay in evaluation mode."""
    if part not in _FROZEN_TOGETHER:
        raise ValueError(unknown_name("part", part, _FROZEN_TOGETHER))
    modules = frozen_modules(backbone, part)
    for module in modules:
        module.requires_grad_(False)
    if part == "ffn":
        backbone.embeddings.position_embeddings.requires_grad_(False)
    return modules


def trainable_parameters(model: nn.Module) -> dict[str, PartSize]:
    """Count the parameters of every part of a model by its name, and those that are trained; the total comes last.

    Raises:
        ValueError: A parameter belongs to no known part.
    """
    found: dict[str, list[nn.Parameter]] = {part: [] for part in _PARTS}
    for name, parameter in model.named_parameters():
        found[_part_of(name)].append(parameter)
    sizes = {part: _size(parameters) for part, parameters in found.items() if parameters}
    return {**sizes, "total": _size(model.parameters())}


def _part_of(name: str) -> str:
    for part, pattern in _PARTS.items():
        if re.search(pattern, name):
            return part
    raise ValueError(f"Parameter {name} belongs to no part of a ViTPose model: expected {', '.join(_PARTS)}.")


def _size(parameters: Iterable[nn.Parameter]) -> PartSize:
    counts = [(parameter.numel(), parameter.requires_grad) for parameter in parameters]
    return PartSize(sum(count for count, trained in counts if trained), sum(count for count, _ in counts))
