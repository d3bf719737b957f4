"""The training loop: pure steps over a model, a loader and a recipe; exact to resume at any checkpoint.

Nothing in a step depends on when the run was started: order and augmentation follow from (seed, epoch, index), drop
path from (seed, step, process), the learning rate from the step. A checkpoint therefore holds weights, optimizer and
three counters, and a resumed run equals an unbroken one bit for bit.
"""

import logging
import math
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Generic

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.data_loader import DataLoaderShard
from accelerate.utils import gather_object
from torch import Tensor, nn
from torch.profiler import record_function
from tqdm.auto import tqdm

from ..config.recipe import Recipe
from ..evaluation.evaluator import joined_metrics
from ..evaluation.measured import mean_merit
from ..evaluation.predict import share_buffers
from ..metrics.primary import PRIMARY_METRICS
from ..samples.crops import materialize_crops
from ..samples.loaders import EpochSampler
from .checkpoints import Progress, load_checkpoint, save_checkpoint
from .objectives import Objective
from .optimizer import learning_rate_factor, set_learning_rate
from .preemption import PreemptedError, TerminationNotice
from .run_log import LossWindow, RunLog, mean_loss
from .run_parts import E
from .weight_average import WeightAverage

logger = logging.getLogger(__name__)

# On the terminal; the log and metrics.json have them all.
_SHOWN_METRICS = (*PRIMARY_METRICS, "AP50", "AP75", "EPE", "reconstruction_loss")


class NonFiniteLossError(RuntimeError):
    """The loss became infinite or not a number; the message has step, learning rate and samples."""


@dataclass(kw_only=True)
class Step:
    """An optimizer step that was taken.

    Args:
        window: Losses and speed since the last line of the log.
        learning_rate: That of the last layer.
        ends_epoch: Whether it was the last of its epoch.
    """

    window: LossWindow
    learning_rate: float
    ends_epoch: bool


@dataclass(kw_only=True)
class Trainer(Generic[E]):
    """One run of a recipe, over objects that the accelerator has prepared.

    Args:
        accelerator: Holds devices, processes and precision.
        model: The prepared model.
        objective: The loss of a batch.
        optimizer: The prepared optimizer, with a `peak_lr` in every group.
        loader: The prepared loader of training batches.
        sampler: The sampler below the loader.
        recipe: The choices of the run.
        log: Where losses and metrics go.
        evaluators: Evaluate the model as it is, each on a dataset.
        average: Of the weights, where the recipe asks for it; it is what is evaluated and saved.
        on_start: Called with the evaluations of the model that training starts from, by the main process.
        on_evaluation: Called with the result, the progress and the evaluations after each later one, by every process.
        part: Marks the parts of a step: "data", "forward", "backward", "optimizer".
        progress: Where to begin.
    """

    accelerator: Accelerator
    model: nn.Module
    objective: Objective
    optimizer: torch.optim.Optimizer
    loader: DataLoaderShard
    sampler: EpochSampler
    recipe: Recipe
    log: RunLog
    evaluators: Mapping[str, Callable[[nn.Module], E]]
    average: WeightAverage | None = None
    on_start: Callable[[Mapping[str, E]], None] | None = None
    on_evaluation: Callable[[nn.Module, Progress, Mapping[str, E]], None] | None = None
    part: Callable[[str], AbstractContextManager[object]] = record_function
    progress: Progress = field(default_factory=Progress)

    def __post_init__(self) -> None:
        self.notice = TerminationNotice(self.accelerator)

    @property
    def result(self) -> nn.Module:
        """The model that is evaluated and saved: the average of the weights, or the model itself."""
        return self.model if self.average is None else self.average.model

    @property
    def checkpoint_folder(self) -> Path:
        """The folder of checkpoints."""
        return Path(self.recipe.run.output_dir) / "checkpoints"

    @property
    def samples_per_batch(self) -> int:
        """People in one batch of all processes together."""
        return self.recipe.optimization.batch_size * self.accelerator.num_processes

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps of a whole epoch."""
        batches = math.ceil(self.sampler.epoch_length / self.samples_per_batch)
        return math.ceil(batches / self.recipe.optimization.gradient_accumulation_steps)

    @property
    def total_steps(self) -> int:
        """Optimizer steps of the whole run."""
        return self.recipe.optimization.epochs * self.steps_per_epoch

    @property
    def is_finished(self) -> bool:
        """Whether no step is left: all epochs are done, or the recipe's patience is spent."""
        patience = self.recipe.evaluation.patience
        return self.progress.epoch >= self.recipe.optimization.epochs or (
            patience is not None and self.progress.stale_evaluations >= patience
        )

    def resume(self) -> None:
        """Go on from the newest checkpoint."""
        self.progress = load_checkpoint(self.accelerator, self.checkpoint_folder, self.recipe, self.average)
        self.log.forget_after(self.progress, evaluates_again=self.progress.samples > 0 or self.is_finished)

    def train(self) -> Mapping[str, E]:
        """Train to the last epoch, listening for a request to end; returns the evaluations of the final weights.

        A run that is not resumed begins by an evaluation, so that its log shows what was there before.

        Raises:
            PreemptedError: The run was asked to end, and is saved after the step that was under way.
            NonFiniteLossError: The loss is no number.
        """
        with self.notice.listen():
            return self._train()

    def _train(self) -> Mapping[str, E]:
        evaluations = None
        started = time.perf_counter() - self.progress.seconds
        epochs, every = self.recipe.optimization.epochs, self.recipe.evaluation.eval_every
        if every and self.progress == Progress():
            self._evaluate_start()
        while not self.is_finished:
            epoch = self.progress.epoch
            self._train_epoch(epoch, started)
            if epoch + 1 == epochs or (every and (epoch + 1) % every == 0):
                # a run that is killed now goes on with its evaluation
                self._save(replace(self.progress, epoch=epoch, samples=self.sampler.epoch_length))
                evaluations = self._evaluate_epoch()
                self.progress.note_merit(mean_merit(evaluations))
            self._save(self.progress)
        self._tell_if_stopped_early()
        return evaluations or self._evaluate_epoch()  # a finished run that is resumed has only its evaluation left

    def _evaluate_start(self) -> None:
        evaluations = self._evaluate()
        if self.on_start is not None and self.accelerator.is_main_process:
            self.on_start(evaluations)

    def _evaluate_epoch(self) -> Mapping[str, E]:
        evaluations = self._evaluate()
        if self.on_evaluation is not None:
            self.on_evaluation(self.result, self.progress, evaluations)
        return evaluations

    def _tell_if_stopped_early(self) -> None:
        if self.progress.epoch < self.recipe.optimization.epochs:
            logger.info(
                "Stopped after epoch %d of %d: none of the last %d evaluations was better than the best before them.",
                *(self.progress.epoch, self.recipe.optimization.epochs, self.progress.stale_evaluations),
            )

    def _train_epoch(self, epoch: int, started: float) -> None:
        """The steps of an epoch that are still to come, with their log and checkpoints."""
        with closing(self.steps(epoch)) as steps:
            for step in steps:
                self.progress.seconds = time.perf_counter() - started
                if self.progress.step % self.recipe.run.log_every == 0 or step.ends_epoch:
                    self._log(step.window, step.learning_rate)
                    step.window.restart()
                self._save_if_due(ends_epoch=step.ends_epoch)
        self.progress.seconds = time.perf_counter() - started

    def _save_if_due(self, *, ends_epoch: bool) -> None:
        stops, every = self.notice.heard(), self.recipe.run.checkpoint_every
        due = every and self.progress.step % every == 0 and not ends_epoch  # after an epoch in any case
        if stops or due:
            self._save(self.progress)
        if stops:
            raise PreemptedError(f"Asked to end: saved step {self.progress.step} in {self.checkpoint_folder}.")

    def steps(self, epoch: int) -> Generator[Step, None, None]:
        """Take the optimizer steps of an epoch that are still to come; yields after each, and goes to the next epoch.

        Args:
            epoch: The epoch, from 0.
        """
        factor = learning_rate_factor(self.recipe, self.steps_per_epoch)
        window = LossWindow()
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
            yield Step(window=window, learning_rate=learning_rate, ends_epoch=batches_left == 0)
        self.progress = replace(self.progress, epoch=epoch + 1, samples=0)

    def _batches(self, epoch: int, window: LossWindow) -> Iterator[tuple[dict[str, Tensor], int]]:
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
        """True where a batch completes the gradients; counted from the epoch's start, so that a resumed run agrees."""
        done = self.progress.samples // self.samples_per_batch + 1
        return batches_left == 0 or done % self.recipe.optimization.gradient_accumulation_steps == 0

    def _share_of_step(self, batch: dict[str, Tensor]) -> float:
        """Fraction of the optimizer step's samples in this batch; an epoch's last step may have fewer samples."""
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
        with self.part("optimizer"):
            if self.recipe.optimization.max_grad_norm:
                self.accelerator.clip_grad_norm_(self.model.parameters(), self.recipe.optimization.max_grad_norm)
            self.optimizer.step()
            self.optimizer.zero_grad()

    def _log(self, window: LossWindow, learning_rate: float) -> None:
        names = [f"loss/{name}" for name in self.recipe.part_names]
        totals = gather_object([window.totals])  # of every process
        by_part = {name: mean_loss(totals, part) for part, name in enumerate(names) if any(part in t for t in totals)}
        self.log.write(
            step=self.progress.step,
            epoch=round(self.progress.epoch + min(1.0, self.progress.samples / self.sampler.epoch_length), 4),
            loss=mean_loss(totals, None),
            **by_part,
            lr=learning_rate,
            images_per_s=round(window.images_per_second * self.accelerator.num_processes, 2),
        )

    def _evaluate(self) -> Mapping[str, E]:
        evaluations = {name: evaluate(self.result) for name, evaluate in self.evaluators.items()}
        self.log.write(step=self.progress.step, epoch=self.progress.epoch, eval=joined_metrics(evaluations))
        for name, evaluation in evaluations.items():
            shown = (metric for metric in _SHOWN_METRICS if metric in evaluation.metrics)
            metrics = "  ".join(f"{metric} {evaluation.metrics[metric]:.4f}" for metric in shown)
            where = f"{name}, " if len(evaluations) > 1 else ""
            when = f"after epoch {self.progress.epoch}, step {self.progress.step}"
            logger.info("%s%s: %s", where, when if self.progress.step else "before training", metrics)
        return evaluations

    def _save(self, progress: Progress) -> None:
        share_buffers([self.model], self.accelerator)  # of sharded models, a checkpoint has them from any process
        save_checkpoint(self.accelerator, self.checkpoint_folder, progress, self.recipe, self.average)
