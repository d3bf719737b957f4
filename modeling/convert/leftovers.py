"""What a checkpoint holds beside its model, and a pose model has no use for: left out, and named in the log."""

import logging
import re
from collections.abc import Iterable

from vitpose.base.names import first_of

from .layouts import MMPOSE
from .names import StateDict, short_names
from .recognition import Found

logger = logging.getLogger(__name__)

# In a whole pose model: a class token that its authors' code keeps and never reads, mask tokens of the pre-training,
# figures of the preprocessing, averages under flat names (mmcv), and what only training reads.
_BESIDE_A_POSE_MODEL = re.compile(
    r"(.*\.)?(cls_token|mask_token|n_averaged|num_updates|steps)|data_preprocessor\..*|ema_[^.]+"
    r"|(.*\.)?(teacher|\w*(loss|metric|criterion))\w*\..*"
)
# Beside a backbone: tokens of the pre-training, and what follows the last norm or belongs to MAE's decoder.
_BESIDE_A_BACKBONE = re.compile(
    r"(embeddings\.)?(cls|mask|dist|reg|register)_tokens?|(decoder|head|fc_norm|classifier|pooler|attn_pool)[._].*"
)


def without_leftovers(found: Found) -> StateDict:
    """The tensors of a model, under their names, without what carries nothing for a pose model.

    Raises:
        ValueError: A class token takes part in the attention, as in no ViTPose; or a tensor stands both behind the
            prefix and outside it.
    """
    if found.layout is MMPOSE and "backbone.cls_token" in found.weights:
        raise ValueError(
            "backbone.cls_token is in the sequence of mmpose's model (with_cls_token=True), and ViTPose has patches "
            "alone there: the model cannot be converted. Train it with with_cls_token=False."
        )
    beside = _BESIDE_A_POSE_MODEL if found.layout.has_heads else _BESIDE_A_BACKBONE
    kept = {name: value for name, value in found.weights.items() if not beside.fullmatch(name)}
    left = [found.prefix + name for name in found.weights if name not in kept]
    # what stands outside the prefix of a backbone is a head, a decoder or a loss; of a pose model it may be a layer
    outside = {k: value for k, value in found.others.items() if found.layout.has_heads and not beside.fullmatch(k)}
    _tell([*left, *(name for name in found.others if name not in outside)], "no part of a pose model's network")
    twice = sorted(kept.keys() & outside.keys())
    if twice:
        raise ValueError(
            f"the file has tensors both behind the prefix {found.prefix!r} and without it: {first_of(twice)}. Which of "
            "them are the model's is not known: save a state dict with one of each."
        )
    if outside:
        logger.info("Taken from outside the prefix %r (%d): %s", found.prefix, len(outside), short_names(outside))
    return {**kept, **outside}


def of_one_dataset(weights: StateDict, num_datasets: int | None) -> StateDict:
    """The tensors of one dataset, where a file of the authors' release was split off a model of several.

    Such files may still hold experts, and heads, of the others. A whole feed-forward layer says that no expert is used.

    Args:
        weights: The tensors under the release's names.
        num_datasets: For how many datasets a model is asked for; None where the file is to say it.
    """
    fc2 = weights.get("backbone.blocks.0.mlp.fc2.weight")
    positions = weights.get("backbone.pos_embed")
    if fc2 is None or positions is None or len(fc2) != positions.shape[-1]:
        return weights
    left = [name for name in weights if ".mlp.experts." in name]
    if left or num_datasets == 1:
        left += [name for name in weights if name.startswith("associate_keypoint_heads.")]
    _tell(left, "as this file is of one dataset")
    return {name: value for name, value in weights.items() if name not in left}


def _tell(names: Iterable[str], why: str) -> None:
    """Name in the log what is left out."""
    names = list(names)
    if names:
        logger.info("Left out, %s (%d): %s", why, len(names), short_names(names))
