"""The training loop: pure steps over a model, a loader and a recipe; exact to resume at any checkpoint.

Nothing in a step depends on when the run was started: order and augmentation follow from (seed, epoch, index), drop
path from (seed, step, process), the learning rate from the step. A checkpoint therefore holds weights, optimiser and
three counters, and a resumed run equals an unbroken one bit for bit.
"""

import json
import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.data_loader import DataLoaderShard
from accelerate.utils import gather_object
from torch import Tensor, nn
from torch.profiler import record_function
from tqdm.auto import tqdm

from vitpose.modeling.configuration_vitpose import ViTPoseConfig
from vitpose.processing.processor_settings_vitpose import ProcessorSettings

from ..config.recipe import Recipe
from ..evaluation.evaluator import Evaluator, joined_metrics
from ..evaluation.predict import share_buffers
from ..evaluation.score import Evaluation
from ..metrics.primary import PRIMARY_METRICS
from ..samples.collate import materialize_crops
from ..samples.sampler import EpochSampler
from .checkpoints import Progress, save_checkpoint
from .objectives import Objective
from .optimizer import learning_rate_factor, set_learning_rate
from .preemption import PreemptedError, TerminationNotice
from .weight_average import WeightAverage

logger = logging.getLogger(__name__)

# On the terminal; the log and metrics.json have them all.
_SHOWN_METRICS = (*PRIMARY_METRICS, "AP50", "AP75", "EPE", "reconstruction_loss")

PARTS_OF_A_STEP = ("data", "forward", "backward", "optimiser")


class NonFiniteLossError(RuntimeError):
    """The loss became infinite or not a number; the message has step, learning rate and samples."""


@dataclass(kw_only=True)
class RunLog:
    """The structured log of a run, one JSON object a line; only the main process writes."""

    path: Path
    accelerator: Accelerator

    def write(self, **entry: Any) -> None:
        """Append one line, and tell the trackers."""
        if self.accelerator.is_main_process:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry) + "\n")
        figures = {**entry, **entry.get("eval", {})}
        self.accelerator.log({k: v for k, v in figures.items() if isinstance(v, (int, float))}, step=entry["step"])

    def forget_after(self, progress: Progress, *, epochs: int) -> None:
        """Drop the lines that a resumed run of so many epochs writes again, and a line that a kill cut short."""
        if not self.accelerator.is_main_process or not self.path.exists():
            return
        evaluates_again = progress.samples > 0 or progress.epoch == epochs
        last = (progress.step, not evaluates_again)
        kept = [line for line in self.path.read_text(encoding="utf-8").splitlines() if _place_of(line) <= last]
        partial = self.path.with_suffix(".partial")
        partial.write_text("".join(line + "\n" for line in kept), encoding="utf-8")
        partial.replace(self.path)


def _place_of(line: str) -> tuple[float, bool]:
    """The step of a line of the log and whether it is an evaluation, which follows the step's training line."""
    try:
        entry = json.loads(line)
    except json.JSONDecodeError:
        return math.inf, True  # cut short by a kill
    return entry["step"], "eval" in entry


@dataclass(kw_only=True)
class Trainer:
    """One run of a recipe, over objects that the accelerator has prepared.

    Args:
        accelerator: Holds devices, processes and precision.
        model: The prepared model.
        objective: The loss of a batch.
        optimizer: The prepared optimiser, with a `peak_lr` in every group.
        loader: The prepared loader of training batches.
        sampler: The sampler below the loader.
        recipe: The choices of the run.
        config: The model's configuration.
        settings: Of the processor that it trains with.
        log: Where figures go.
        evaluators: Evaluate the model as it is, each on a dataset.
        average: Of the weights, where the recipe asks for it; it is what is evaluated and saved.
        on_evaluation: Called with the trainer and its evaluations after each of them, by every process.
        progress: Where to begin.
    """

    accelerator: Accelerator
    model: nn.Module
    objective: Objective
    optimizer: torch.optim.Optimizer
    loader: DataLoaderShard
    sampler: EpochSampler
    recipe: Recipe
    config: ViTPoseConfig
    settings: ProcessorSettings
    log: RunLog
    evaluators: dict[str, Evaluator]
    average: WeightAverage | None = None
    on_evaluation: "Callable[[Trainer, dict[str, Evaluation]], None] | None" = None
    progress: Progress = field(default_factory=Progress)

    def __post_init__(self) -> None:
        self.notice = TerminationNotice(self.accelerator)
        # for a profiler: what marks PARTS_OF_A_STEP, and what is called between steps
        self.part: Callable[[str], AbstractContextManager] = record_function
        self.after_step: Callable[[], None] = lambda: None

    @property
    def result(self) -> nn.Module:
        """The model that is evaluated and saved: the average of the weights, or the model itself."""
        return self.model if self.average is None else self.average.model

    @property
    def checkpoint_folder(self) -> Path:
        """Where checkpoints go."""
        return Path(self.recipe.run.output_dir) / "checkpoints"

    @property
    def samples_per_batch(self) -> int:
        """People in one batch of all processes together."""
        return self.recipe.optimization.batch_size * self.accelerator.num_processes

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps of a whole epoch."""
        batches = math.ceil(self.sampler.epoch_length / self.samples_per_batch)
        return math.ceil(batches / self.recipe.optimization.gradient_accumulation_steps)

    def train(self) -> dict[str, Evaluation]:
        """Train to the last epoch; returns the evaluations of the final weights.

        Raises:
            PreemptedError: The run was asked to end, and is saved after the step that was under way.
            NonFiniteLossError: The loss is no number.
        """
        evaluations = None
        started = time.perf_counter() - self.progress.seconds
        for epoch in range(self.progress.epoch, self.recipe.optimization.epochs):
            self.train_epoch(epoch, started)
            last = epoch + 1 == self.recipe.optimization.epochs
            if last or (self.recipe.evaluation.eval_every and (epoch + 1) % self.recipe.evaluation.eval_every == 0):
                # a run that is killed now goes on with its evaluation
                self._save(replace(self.progress, epoch=epoch, samples=self.sampler.epoch_length))
                evaluations = self._evaluate()
            self._save(self.progress)
        return evaluations or self._evaluate()  # a finished run that is resumed has only its evaluation left

    def train_epoch(self, epoch: int, started: float) -> None:
        """Take the steps of an epoch that are still to come, with its logging and checkpoints.

        Args:
            epoch: Which.
            started: When the run was, on `time.perf_counter`.
        """
        factor = learning_rate_factor(self.recipe, self.steps_per_epoch)
        window = _Window()
        for batch, batches_left in self._batches(epoch, window):
            ends_step = self._is_step_end(batches_left)
            learning_rate = set_learning_rate(self.optimizer, factor(self.progress.step))
            self._seed_step()
            window.add(self._train_batch(batch, ends_step, learning_rate), batch)
            self.progress.samples += self.samples_per_batch
            if not ends_step:
                continue
            self.progress.step += 1
            if self.average is not None:
                self.average.update(self.accelerator.unwrap_model(self.model), step=self.progress.step)
            self.progress.seconds = time.perf_counter() - started
            if self.progress.step % self.recipe.run.log_every == 0 or batches_left == 0:
                self._log(window, learning_rate)
                window.restart()
            stops, every = self.notice.heard(), self.recipe.run.checkpoint_every
            if stops or (batches_left > 0 and every and self.progress.step % every == 0):  # after an epoch in any case
                self._save(self.progress)
            if stops:
                raise PreemptedError(f"Asked to end: saved step {self.progress.step} in {self.checkpoint_folder}.")
            self.after_step()
        seconds = time.perf_counter() - started
        self.progress = Progress(epoch=epoch + 1, samples=0, step=self.progress.step, seconds=seconds)

    def _batches(self, epoch: int, window: "_Window") -> Iterator[tuple[dict[str, Tensor], int]]:
        """The batches of an epoch that are still to come, each with the number that follow it; draws the bar."""
        self.loader.set_epoch(epoch)  # accelerate hands it on to the sampler
        self.sampler.skip(min(self.progress.samples, self.sampler.epoch_length))
        bar = tqdm(
            total=self.sampler.epoch_length,
            initial=self.progress.samples,
            desc=f"epoch {epoch + 1}/{self.recipe.optimization.epochs}",
            unit=" people",
            disable=not self.accelerator.is_local_main_process,
        )
        total = math.ceil(len(self.sampler) / self.samples_per_batch)
        with bar:
            for number, batch in enumerate(self._loaded()):
                yield batch, total - number - 1
                bar.set_postfix(loss=f"{window.loss:.3g}", step=self.progress.step, refresh=False)
                bar.update(min(self.samples_per_batch, self.sampler.epoch_length - bar.n))

    def _loaded(self) -> Iterator[dict[str, Tensor]]:
        batches = iter(self.loader)
        while True:
            with self.part("data"):
                batch = next(batches, None)
                if batch is None:
                    return
                batch = materialize_crops(batch, self.loader.dataset.settings)
            yield batch

    def _is_step_end(self, batches_left: int) -> bool:
        """Whether the gradients are whole; counted from the epoch's start, so that a resumed run agrees."""
        done = self.progress.samples // self.samples_per_batch + 1
        return batches_left == 0 or done % self.recipe.optimization.gradient_accumulation_steps == 0

    def _share_of_step(self, batch: dict[str, Tensor]) -> float:
        """Which part the samples of a batch are of those of the step, of which an epoch's last one may have fewer."""
        most = self.recipe.optimization.gradient_accumulation_steps * self.samples_per_batch
        left = self.sampler.epoch_length - self.progress.samples // most * most  # when the step began
        return len(batch["index"]) * self.accelerator.num_processes / min(most, left)

    def _seed_step(self) -> None:
        """Make dropout and drop path a function of (seed, step, batch of the step, process)."""
        batch = self.progress.samples // self.samples_per_batch
        key = [self.recipe.run.seed, self.progress.step, batch, self.accelerator.process_index]
        torch.manual_seed(int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0]))

    def _train_batch(self, batch: dict[str, Tensor], ends_step: bool, learning_rate: float) -> list[float]:
        """Backward, and where it ends a step the step; returns the loss of each sample, or the one of the batch."""
        # Processes average their gradients once a step, not after each of its batches; the forward pass sets it up.
        with nullcontext() if ends_step else self.accelerator.no_sync(self.model):
            with self.part("forward"):
                losses = self.objective(self.model, batch)
                values = losses.detach().reshape(-1).tolist()
            self._check_finite(values, batch, learning_rate)
            with self.part("backward"):
                self.accelerator.backward(losses.mean() * self._share_of_step(batch))
        if ends_step:
            self._step()
        return values

    def _check_finite(self, values: list[float], batch: dict[str, Tensor], learning_rate: float) -> None:
        if not all(map(math.isfinite, values)):
            raise NonFiniteLossError(
                f"The loss is {fmean(values)} at step {self.progress.step}, learning rate {learning_rate:.3g}, people "
                f"{batch['person_id'].tolist()} of images {batch['image_id'].tolist()}. Look at these samples, lower "
                "learning_rate, or go on from the last checkpoint with --resume."
            )

    def _step(self) -> None:
        with self.part("optimiser"):
            if self.recipe.optimization.max_grad_norm:
                self.accelerator.clip_grad_norm_(self.model.parameters(), self.recipe.optimization.max_grad_norm)
            self.optimizer.step()
            self.optimizer.zero_grad()

    def _log(self, window: "_Window", learning_rate: float) -> None:
        names = [f"loss/{name}" for name in self.recipe.part_names]
        totals = gather_object([window.totals])  # of every process
        by_part = {name: _mean_loss(totals, part) for part, name in enumerate(names) if any(part in t for t in totals)}
        self.log.write(
            step=self.progress.step,
            epoch=round(self.progress.epoch + min(1.0, self.progress.samples / self.sampler.epoch_length), 4),
            loss=_mean_loss(totals, None),
            **by_part,
            lr=learning_rate,
            images_per_s=round(window.images_per_second * self.accelerator.num_processes, 2),
        )

    def _evaluate(self) -> dict[str, Evaluation]:
        evaluations = {name: evaluate(self.result) for name, evaluate in self.evaluators.items()}
        self.log.write(step=self.progress.step, epoch=self.progress.epoch, eval=joined_metrics(evaluations))
        for name, evaluation in evaluations.items():
            shown = (metric for metric in _SHOWN_METRICS if metric in evaluation.metrics)
            figures = "  ".join(f"{metric} {evaluation.metrics[metric]:.4f}" for metric in shown)
            where = f"{name}, " if len(evaluations) > 1 else ""
            logger.info("%safter epoch %d, step %d: %s", where, self.progress.epoch, self.progress.step, figures)
        if self.on_evaluation is not None:
            self.on_evaluation(self, evaluations)
        return evaluations

    def _save(self, progress: Progress) -> None:
        share_buffers([self.model], self.accelerator)  # of sharded models, a checkpoint has them from any process
        save_checkpoint(self.accelerator, self.checkpoint_folder, progress, self.recipe, self.average)


# Sum and number of losses: of batches under None, of samples under the part of the mixture that they are of.
_Totals = dict[int | None, tuple[float, int]]


def _mean_loss(totals: Sequence[_Totals], part: int | None) -> float:
    """The mean over all processes; a process without samples of a part has no say."""
    sums, counts = zip(*(own[part] for own in totals if part in own), strict=True)
    return sum(sums) / sum(counts)


class _Window:
    """Losses and speed of this process since the last line of the log."""

    def __init__(self) -> None:
        self.loss = math.nan
        self.restart()

    def restart(self) -> None:
        """Begin anew; `loss` stays what it was until the next batch."""
        self._started = time.perf_counter()
        self._losses: dict[int | None, list[float]] = {None: []}
        self._images = 0

    def add(self, losses: list[float], batch: dict[str, Tensor]) -> None:
        """Count the losses of a batch, those of a mixture also by their part."""
        self._losses[None].append(fmean(losses))
        for part, loss in zip(batch["part"].tolist(), losses, strict=True) if "part" in batch else ():
            self._losses.setdefault(part, []).append(loss)
        self._images += len(batch["index"])
        self.loss = fmean(self._losses[None])

    @property
    def totals(self) -> _Totals:
        return {part: (sum(losses), len(losses)) for part, losses in self._losses.items()}

    @property
    def images_per_second(self) -> float:
        return self._images / (time.perf_counter() - self._started)
