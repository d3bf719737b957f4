"""Layers as adapters and offloading see them: which are no more than their weights, and rows that can be adapted."""

from collections.abc import Iterable, Iterator

from torch import nn


class ModuleRow(nn.Module):
    """Modules side by side, named by their numbers as in `nn.ModuleList`, for a class that says how to call them.

    Adapters (peft's `modules_to_save`) refuse every `nn.ModuleList`, as that alone cannot be called.
    """

    def __init__(self, modules: Iterable[nn.Module]) -> None:
        super().__init__()
        for index, module in enumerate(modules):
            self.add_module(str(index), module)

    def __getitem__(self, index: int) -> nn.Module:
        return self.get_submodule(str(index))

    def __iter__(self) -> Iterator[nn.Module]:
        return self.children()

    def __len__(self) -> int:
        return len(self._modules)


def is_plain(layer: nn.Module) -> bool:
    """True for a plain layer; False inside a LoRA adapter, and if accelerate loads its weights when it is called."""
    return type(layer) in (nn.Conv2d, nn.Linear) and not hasattr(layer, "_hf_hook")
