"""Initialization of a layer, where it differs from the model's normal distribution."""

import torch
from torch import nn
from transformers import initialization as init


def set_initialization(layer: nn.Module, *, std: float | None = None, identity: float = 0.0) -> None:
    """Have `initialize` start a layer from a normal of another `std`, or add `identity` times the identity matrix."""
    for name, value in {"init_std": std, "init_identity": identity}.items():
        setattr(layer, name, value)


def initialize(layer: nn.Linear | nn.Conv2d | nn.ConvTranspose2d, *, std: float) -> None:
    """Start the weights of a layer from a truncated normal, as `set_initialization` says or of `std`; biases at 0."""
    own_std: float | None = getattr(layer, "init_std", None)
    init.trunc_normal_(layer.weight, std=std if own_std is None else own_std)
    identity: float = getattr(layer, "init_identity", 0.0)
    if identity:
        init.copy_(layer.weight, layer.weight + identity * torch.eye(len(layer.weight), device=layer.weight.device))
    if layer.bias is not None:
        init.zeros_(layer.bias)
