"""The running average of a model's weights, which is evaluated and saved in place of the last ones."""

import copy
from pathlib import Path

import torch
from safetensors.torch import load_model, save_model
from torch import nn

AVERAGE_FILE = "average.safetensors"


class WeightAverage:
    """An exponential moving average over the steps of a run.

    The first steps count for less than `decay` says, `(1 + step) / (10 + step)`: else the random weights of the start
    would stay in the average for thousands of steps. It depends on the step alone, so that resuming needs no more than
    the average itself.

    Args:
        model: Whose weights and running statistics are averaged, not wrapped for several processes.
        decay: Share of the average that stays at each step: 0.999 averages over some 1,000 steps.
    """

    def __init__(self, model: nn.Module, *, decay: float) -> None:
        self.decay = decay
        self.model = copy.deepcopy(model).requires_grad_(False)

    @torch.no_grad()
    def update(self, model: nn.Module, *, step: int) -> None:
        """Take the weights after a step into the average; steps count from 1."""
        share = 1 - min(self.decay, (1 + step) / (10 + step))
        averages, values = self.model.state_dict(), model.state_dict()
        real = [name for name, average in averages.items() if average.is_floating_point()]
        torch._foreach_lerp_([averages[name] for name in real], [values[name] for name in real], share)
        for name in averages.keys() - set(real):  # counters
            averages[name].copy_(values[name])

    def save(self, folder: Path) -> None:
        """Write the average into the folder of a checkpoint."""
        save_model(self.model, str(folder / AVERAGE_FILE))

    def load(self, folder: Path) -> None:
        """Go on from the average in the folder of a checkpoint."""
        load_model(self.model, folder / AVERAGE_FILE)
