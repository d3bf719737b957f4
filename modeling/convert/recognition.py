"""Which weights of a file are a plain ViT's, in which layout, and behind which prefix."""

import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from vitpose.base.names import first_of

from .checkpoint_files import weight_sets
from .layouts import FIRST_NORM, LAYOUTS, PATCH_KERNEL, Layout
from .names import StateDict, to_theirs

logger = logging.getLogger(__name__)

# Entries and prefixes of what a program trains and loads of itself; averages and teachers have other names.
_USUAL = {"", "state_dict", "model", "model_state_dict", "module", "net", "network", "params", "weights", "_orig_mod"}

# Names that give other architectures away; the first that fits is told.
_OTHERS: tuple[tuple[str, str], ...] = (
    ("a model with a SimCC head, such as RTMPose", r"\.gau\.|\.cls_[xy]\.|\.mlp_head_[xy]"),
    ("HRFormer", r"\.branches\.\d+\.\d+\.attn\."),
    ("HRNet", r"stage\d\.\d+\.(branches|fuse_layers)\."),
    ("CSPNeXt, the backbone of RTMPose", r"stage\d\.\d+\.(main_conv|short_conv)\."),
    ("Swin", r"relative_position_bias_table|\.w_msa\."),
    ("ViTAE", r"\.PCM\."),
    ("ResNet", r"(^|\.)layer[1-4]\.\d+\.conv\d\."),
    ("a ViT with rotary positions, such as DINOv3", r"(^|\.)rope"),
    ("a ViT with relative positions, such as ViTDet or SAM", r"\.rel_pos_[hw]$"),
    ("PVT", r"\.attn\.sr\."),
    ("ConvNeXt", r"downsample_layers\.|\.dwconv\."),
    ("a network of inverted residuals, such as MobileNet", r"\.(depthwise_conv|expand_conv|linear_conv)\."),
    ("a YOLO", r"(^|\.)model\.\d+\.(cv\d|m\.\d|conv)\."),
)


@dataclass(frozen=True, kw_only=True)
class Found:
    """The weights of one plain ViT in a file.

    Args:
        entry: The entries of the file that lead to them, joined by dots.
        prefix: What stands before each of their names.
        layout: How they are named.
        weights: The tensors of the entry whose names begin with the prefix, without it.
        num_known: How many of these names are the layout's.
        others: The entry's other tensors.
    """

    entry: str
    prefix: str
    layout: Layout
    weights: StateDict
    num_known: int
    others: StateDict

    @property
    def steps(self) -> list[str]:
        """The entries and the parts of the prefix, from the outside to the inside."""
        return [step for step in (*self.entry.split("."), *self.prefix.split(".")) if step]

    @property
    def title(self) -> str:
        """What a message calls the layout, with the prefix."""
        return self.layout.title + (f", behind the prefix {self.prefix!r}" if self.prefix else "")


def find_weights(content: Any, *, choice: str | None = None) -> Found:
    """The weights of a plain ViT in the content of a checkpoint.

    Where there are several, such as an average beside what is trained, those are taken that programs load of
    themselves, and the log says so: which ones a user means cannot be known, but that is what everybody else gets.

    Args:
        content: What `read_checkpoint` gives.
        choice: Which weights to take: an entry of the file or a prefix of the names.

    Raises:
        ValueError: There are no such weights, several of which none is the usual, or none of the chosen name.
    """
    sets = weight_sets(content)
    if not sets:
        raise ValueError(
            f"expected a state dict, alone or in an entry such as 'model' or 'state_dict', got {_kind(content)}. Save "
            "the state dict of the model: torch.save({'state_dict': model.state_dict()}, path)."
        )
    found = [one for entry, weights in sets.items() for one in _models(entry, weights, PATCH_KERNEL, FIRST_NORM)]
    chosen = _chosen(found or _incomplete(sets), choice)
    if chosen.prefix:
        logger.info("The prefix %r is removed from each name.", chosen.prefix)
    logger.info("Recognized as %s.", chosen.layout.title)
    _tell_other_entries(content, sets, chosen)
    return chosen


def _kind(content: Any) -> str:
    """What a message calls content without tensors under names."""
    if isinstance(content, Mapping):
        if not content:
            return "an empty dictionary"
        if {"state", "param_groups"} <= content.keys():
            return "the state of an optimizer"
        return f"a dictionary without named tensors, of the entries {first_of(list(map(str, content)))}"
    if isinstance(content, (list, tuple)):
        return f"a {type(content).__name__} of {len(content)}"
    is_data = isinstance(content, (torch.Tensor, str, int, float, type(None)))
    return f"one {type(content).__name__}" if is_data else "an object of a class, such as a whole pickled model"


def _tell_other_entries(content: Mapping[str, Any], sets: dict[str, StateDict], chosen: Found) -> None:
    """Name in the log what the file holds beside the weights: entries, and dictionaries of tensors inside them."""
    first = chosen.entry.partition(".")[0]
    entries = [str(entry) for entry in content if entry != first] if first else []
    inside = [name for name in sets if name.partition(".")[0] == first and name != chosen.entry]
    if entries or inside:
        logger.info("Other entries of the file are left out: %s", ", ".join([*entries, *inside]))


def other_architecture(names: Iterable[str]) -> str:
    """What names look like that are not a plain ViT's, as a sentence; empty where nothing gives it away."""
    names = list(names)
    titles = (title for title, pattern in _OTHERS if any(re.search(pattern, name) for name in names))
    title = next(titles, "")
    return f"It looks like {title}, not a plain ViT." if title else ""


def _models(entry: str, weights: StateDict, anchor: str, needed: str = "") -> list[Found]:
    """Each plain ViT among tensors: where two of its tensors stand behind one prefix, in the layout that fits best."""
    best: dict[str, Found] = {}
    for layout in LAYOUTS:
        first = to_theirs(layout.backbone + anchor, layout.rows)
        second = to_theirs(layout.backbone + needed, layout.rows) if needed else ""
        for name in weights:
            prefix = name.removesuffix(first)
            fits = name == first or name.endswith(f".{first}")
            if fits and (not second or f"{prefix}{second}" in weights):
                one = _behind(prefix, entry, layout, weights)
                best[name] = max(best.get(name, one), one, key=lambda found: found.num_known)
    return _apart(list(best.values()))


def _behind(prefix: str, entry: str, layout: Layout, weights: StateDict) -> Found:
    inside = {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
    others = {name: value for name, value in weights.items() if not name.startswith(prefix)}
    known = layout.count(inside)
    return Found(entry=entry, prefix=prefix, layout=layout, weights=inside, num_known=known, others=others)


def _apart(found: list[Found]) -> list[Found]:
    """The models of one entry, each without the tensors of the others: a name is of the longest prefix before it."""
    prefixes = sorted((one.prefix for one in found), key=len, reverse=True)

    def owner(name: str) -> str | None:
        return next((prefix for prefix in prefixes if name.startswith(prefix)), None)

    return [
        replace(
            one,
            weights={k: value for k, value in one.weights.items() if owner(one.prefix + k) == one.prefix},
            others={name: value for name, value in one.others.items() if owner(name) is None},
        )
        for one in found
    ]


def _incomplete(sets: dict[str, StateDict]) -> list[Found]:
    """What comes nearest to a plain ViT, so that a message can say what is missing."""
    names = [name for weights in sets.values() for name in weights]
    looks = other_architecture(names)
    for anchor in () if looks else (FIRST_NORM, PATCH_KERNEL):
        found = [one for entry, weights in sets.items() for one in _models(entry, weights, anchor)]
        if found:
            return found
    raise ValueError(
        f"no layout of a plain ViT that this knows. {looks}{' ' if looks else ''}Its names are {first_of(names)}; the "
        f"known layouts are those of {'; '.join(layout.title for layout in LAYOUTS)}."
    )


def _chosen(found: list[Found], choice: str | None) -> Found:
    """The weights to take, by a name, else the only ones, else those that programs load of themselves."""
    labels = ", ".join(".".join(one.steps) or "(the file itself)" for one in found)
    if choice is not None:
        wanted = choice.strip(".").split(".")
        fitting = [one for one in found if any(one.steps[i : i + len(wanted)] == wanted for i in range(len(one.steps)))]
        fitting = [one for one in fitting if one.steps == wanted] or fitting
        if len(fitting) != 1:
            raise ValueError(f"weights: expected one of {labels}, got {choice!r}.")
        return fitting[0]
    usual = found if len(found) == 1 else [one for one in found if set(one.steps) <= _USUAL]
    if len(usual) != 1:
        raise ValueError(f"several sets of weights: {labels}. Choose one: weights, or --weights on the command line.")
    if len(found) > 1:
        taken = ".".join(usual[0].steps) or "(the file itself)"
        logger.warning("The file has several sets of weights: %s. Taken is %s; --weights takes another.", labels, taken)
    return usual[0]
