"""The structured log of a run, and the losses between two of its lines."""

import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from accelerate import Accelerator
from torch import Tensor

from .checkpoints import Progress

LOG_FILE = "log.jsonl"

# Sum and number of losses: of batches under None, of samples under the part of the mixture that they are of.
LossTotals = dict[int | None, tuple[float, int]]


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
        metrics = {**entry, **entry.get("eval", {})}
        self.accelerator.log({k: v for k, v in metrics.items() if isinstance(v, (int, float))}, step=entry["step"])

    def forget_after(self, progress: Progress, *, evaluates_again: bool) -> None:
        """Drop the lines that a resumed run writes again, and a line that a kill cut short.

        Args:
            progress: Of the checkpoint that the run goes on from.
            evaluates_again: Whether it begins by the evaluation of that step.
        """
        if not self.accelerator.is_main_process or not self.path.exists():
            return
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


class LossWindow:
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
    def totals(self) -> LossTotals:
        """Sum and number of the losses, of all and of each part."""
        return {part: (sum(losses), len(losses)) for part, losses in self._losses.items()}

    @property
    def images_per_second(self) -> float:
        """People a second of this process."""
        return self._images / (time.perf_counter() - self._started)


def mean_loss(totals: Sequence[LossTotals], part: int | None) -> float:
    """The mean loss over the totals of all processes; a process without samples of a part has no say."""
    sums, counts = zip(*(own[part] for own in totals if part in own), strict=True)
    return sum(sums) / sum(counts)
