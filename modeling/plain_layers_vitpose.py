"""Recognize layers that are no more than weight and bias, whose result a faster computation may take from those."""

from torch import nn


def is_plain(layer: nn.Module) -> bool:
    """True for a plain layer; False inside a LoRA adapter, and if accelerate loads its weights when it is called."""
    return type(layer) in (nn.Conv2d, nn.Linear) and not hasattr(layer, "_hf_hook")
