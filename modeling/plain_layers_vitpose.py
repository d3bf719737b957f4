"""Whether a layer is no more than its weight and bias, so that a faster way to its result may take those instead."""

from torch import nn


def is_plain(layer: nn.Module) -> bool:
    """False inside a LoRA adapter or the like, and where accelerate brings the weights when the layer is called."""
    return type(layer) in (nn.Conv2d, nn.Linear) and not hasattr(layer, "_hf_hook")
