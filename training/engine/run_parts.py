"""The parts of a run that depend on its task, and the finished run that outputs are made from."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers import PreTrainedModel

from ..evaluation.measured import Measured
from ..samples.loaders import EpochSampler
from .checkpoints import Progress
from .objectives import Objective

M = TypeVar("M", bound=PreTrainedModel)
E = TypeVar("E", bound=Measured)


@dataclass(kw_only=True)
class FinishedRun(Generic[M, E]):
    """A finished run, in its main process.

    Args:
        model: The model to save, unwrapped; where weights are sharded it holds only a part of them.
        weights: The final weights, whole.
        evaluations: Of the final weights, by dataset.
        cost: Hardware, seconds and speed of the run.
        log: The run's log.
    """

    model: M
    weights: dict[str, Tensor]
    evaluations: Mapping[str, E]
    cost: Mapping[str, Any]
    log: Path


@dataclass(kw_only=True)
class RunParts(Generic[M, E]):
    """The parts of a run that depend on its task, not yet prepared by the accelerator.

    Args:
        model: The model with its initial weights.
        num_layers: Blocks of its backbone.
        objective: The loss of a batch.
        loader: The loader of training batches.
        sampler: The sampler below the loader.
        evaluators: Evaluate the prepared model, each on a dataset.
        on_start: Called with the evaluations of the model that training starts from, by the main process.
        on_evaluation: Called with the prepared model, the progress and the evaluations after each later evaluation, by
            every process.
        write_outputs: Writes the folder of the finished run.
    """

    model: M
    num_layers: int
    objective: Objective
    loader: "DataLoader[Any]"
    sampler: EpochSampler
    evaluators: Mapping[str, Callable[[nn.Module], E]]
    on_start: Callable[[Mapping[str, E]], None] | None = None
    on_evaluation: Callable[[nn.Module, Progress, Mapping[str, E]], None] | None = None
    write_outputs: Callable[[FinishedRun[M, E]], None]
