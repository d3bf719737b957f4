"""Feed-forward layers of a block: the ordinary one, and the three with experts by dataset (ViTPose++ paper).

Only the experts that a batch needs are computed. Every class gives the ordinary layer that equals it for one dataset
(`folded`), and starts from an ordinary layer such that nothing changes (`start_from`).
"""

import torch
from torch import nn
from transformers.activations import ACT2FN

from .configuration_vitpose_backbone import ViTPoseBackboneConfig
from .plain_layers_vitpose import ModuleRow, is_plain

DatasetIndex = int | torch.Tensor


class ViTPoseMLP(nn.Module):
    """The ordinary feed-forward layer, the same for every dataset."""

    def __init__(self, config: ViTPoseBackboneConfig) -> None:
        super().__init__()
        self.fc1 = nn.Linear(config.hidden_size, config.intermediate_size)
        self.activation = ACT2FN[config.hidden_act]
        self.fc2 = nn.Linear(config.intermediate_size, config.hidden_size)

    def forward(self, hidden_states: torch.Tensor, dataset_index: DatasetIndex = 0) -> torch.Tensor:
        """(B, N, C) tokens to (B, N, C)."""
        return self.fc2(self.activation(self.fc1(hidden_states)))

    def folded(self, dataset_index: int) -> dict[str, torch.Tensor]:
        """A copy of its state dict: it is the same for every dataset already."""
        return {name: value.detach().clone() for name, value in self.named_parameters()}

    def start_from(self, dense: "ViTPoseMLP") -> None:
        """Start as a copy of another ordinary layer."""
        self.load_state_dict(dense.state_dict())


class ViTPoseExperts(ModuleRow):
    """A linear layer for each dataset."""

    def __init__(self, num_experts: int, in_features: int, out_features: int) -> None:
        super().__init__([nn.Linear(in_features, out_features) for _ in range(num_experts)])

    def forward(self, hidden_states: torch.Tensor, dataset_index: DatasetIndex) -> torch.Tensor:
        """(B, N, in) tokens to (B, N, out), each sample by the expert of its dataset.

        With a long tensor (B,) the samples' weights are gathered for one batched product: no shape depends on the
        values, and in training every expert has a gradient, zero where no sample uses it. An expert inside a LoRA
        adapter, or offloaded, is more than its weights: then they all run, and each sample takes the output of its own.
        """
        if isinstance(dataset_index, int):
            return self[dataset_index](hidden_states)
        inference = not torch.compiler.is_compiling() and not torch.is_grad_enabled()
        if inference and hidden_states.is_cpu and len(dataset_index):  # a product per sample costs less than the copies
            samples = zip(dataset_index.tolist(), hidden_states, strict=True)
            return torch.stack([self[index](sample) for index, sample in samples])
        plain = [expert for expert in self if isinstance(expert, nn.Linear) and is_plain(expert)]
        if len(plain) < len(self):
            outputs = torch.stack([expert(hidden_states) for expert in self])  # (experts, B, N, out)
            return outputs[dataset_index, torch.arange(len(dataset_index), device=outputs.device)]
        weight = torch.stack([expert.weight for expert in plain])[dataset_index]  # (B, out, in)
        bias = torch.stack([expert.bias for expert in plain])[dataset_index]  # (B, out)
        return torch.baddbmm(bias[:, None], hidden_states, weight.transpose(1, 2))


class ViTPosePartiallySharedMLP(nn.Module):
    """PS-FFN: the last `part_features` outputs come from an expert, everything else is shared (ViTPose++ paper)."""

    def __init__(self, config: ViTPoseBackboneConfig) -> None:
        super().__init__()
        hidden = config.intermediate_size
        self.fc1 = nn.Linear(config.hidden_size, hidden)
        self.activation = ACT2FN[config.hidden_act]
        self.fc2 = nn.Linear(hidden, config.hidden_size - config.part_features)
        self.experts = ViTPoseExperts(config.num_experts, hidden, config.part_features)

    def forward(self, hidden_states: torch.Tensor, dataset_index: DatasetIndex) -> torch.Tensor:
        """(B, N, C) tokens to (B, N, C)."""
        hidden_states = self.activation(self.fc1(hidden_states))
        return torch.cat([self.fc2(hidden_states), self.experts(hidden_states, dataset_index)], dim=-1)

    @torch.no_grad()
    def folded(self, dataset_index: int) -> dict[str, torch.Tensor]:
        """State dict of the `ViTPoseMLP` that equals this layer for one dataset."""
        expert = self.experts[dataset_index]
        return {
            **{f"fc1.{name}": value.clone() for name, value in self.fc1.named_parameters()},
            **{
                f"fc2.{name}": torch.cat([value, expert.get_parameter(name)])
                for name, value in self.fc2.named_parameters()
            },
        }

    @torch.no_grad()
    def start_from(self, dense: ViTPoseMLP) -> None:
        """Every expert gets the last rows of the dense layer's output projection (released code)."""
        shared = self.fc2.out_features
        self.fc1.load_state_dict(dense.fc1.state_dict())
        for name, value in dense.fc2.named_parameters():
            getattr(self.fc2, name).copy_(value[:shared])
            for expert in self.experts:
                getattr(expert, name).copy_(value[shared:])


class ViTPoseIndependentMLP(nn.Module):
    """A whole feed-forward layer for each dataset, nothing shared (compared in the ViTPose++ paper)."""

    def __init__(self, config: ViTPoseBackboneConfig) -> None:
        super().__init__()
        hidden = config.intermediate_size
        self.fc1 = ViTPoseExperts(config.num_experts, config.hidden_size, hidden)
        self.activation = ACT2FN[config.hidden_act]
        self.fc2 = ViTPoseExperts(config.num_experts, hidden, config.hidden_size)

    def forward(self, hidden_states: torch.Tensor, dataset_index: DatasetIndex) -> torch.Tensor:
        """(B, N, C) tokens to (B, N, C)."""
        return self.fc2(self.activation(self.fc1(hidden_states, dataset_index)), dataset_index)

    @torch.no_grad()
    def folded(self, dataset_index: int) -> dict[str, torch.Tensor]:
        """State dict of the `ViTPoseMLP` that equals this layer for one dataset."""
        layers = {"fc1": self.fc1[dataset_index], "fc2": self.fc2[dataset_index]}
        return {
            f"{layer}.{name}": value.clone()
            for layer, part in layers.items()
            for name, value in part.named_parameters()
        }

    @torch.no_grad()
    def start_from(self, dense: ViTPoseMLP) -> None:
        """Every dataset starts with the dense layer."""
        for experts, layer in ((self.fc1, dense.fc1), (self.fc2, dense.fc2)):
            for expert in experts:
                expert.load_state_dict(layer.state_dict())


class ViTPoseIndependentAndSharedMLP(nn.Module):
    """A shared feed-forward layer plus one for each dataset, their outputs added (compared in the ViTPose++ paper)."""

    def __init__(self, config: ViTPoseBackboneConfig) -> None:
        super().__init__()
        self.shared = ViTPoseMLP(config)
        self.experts = ViTPoseIndependentMLP(config)

    def forward(self, hidden_states: torch.Tensor, dataset_index: DatasetIndex) -> torch.Tensor:
        """(B, N, C) tokens to (B, N, C)."""
        return self.shared(hidden_states) + self.experts(hidden_states, dataset_index)

    @torch.no_grad()
    def folded(self, dataset_index: int) -> dict[str, torch.Tensor]:
        """State dict of the `ViTPoseMLP`, twice as wide inside, that equals this layer for one dataset."""
        expert = self.experts.folded(dataset_index)
        return {
            "fc1.weight": torch.cat([self.shared.fc1.weight, expert["fc1.weight"]]),
            "fc1.bias": torch.cat([self.shared.fc1.bias, expert["fc1.bias"]]),
            "fc2.weight": torch.cat([self.shared.fc2.weight, expert["fc2.weight"]], dim=1),
            "fc2.bias": self.shared.fc2.bias + expert["fc2.bias"],
        }

    @torch.no_grad()
    def start_from(self, dense: ViTPoseMLP) -> None:
        """The shared layer is the dense one; what the experts add starts at zero."""
        self.shared.load_state_dict(dense.state_dict())
        for parameter in self.experts.fc2.parameters():
            nn.init.zeros_(parameter)


FeedForward = ViTPoseMLP | ViTPosePartiallySharedMLP | ViTPoseIndependentMLP | ViTPoseIndependentAndSharedMLP
EXPERT_MLPS: dict[str, type[ViTPosePartiallySharedMLP | ViTPoseIndependentMLP | ViTPoseIndependentAndSharedMLP]] = {
    "partially_shared": ViTPosePartiallySharedMLP,
    "independent": ViTPoseIndependentMLP,
    "independent_and_shared": ViTPoseIndependentAndSharedMLP,
}


def make_mlp(config: ViTPoseBackboneConfig) -> FeedForward:
    """Make the feed-forward layer of a config."""
    return ViTPoseMLP(config) if config.num_experts == 1 else EXPERT_MLPS[config.expert_kind](config)
