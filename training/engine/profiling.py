"""Where a step's time goes: a few steps under torch's profiler, as a trace file and as a table."""

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch
from torch.profiler import profile, record_function, schedule

from vitpose.base.files import whole_file

from .trainer import PARTS_OF_A_STEP, Trainer

logger = logging.getLogger(__name__)

WARM_UP, MEASURED = 3, 5  # steps
TRACE_FILE = "trace.json"
_STEP = "ProfilerStep*"  # what torch calls its steps in the list of events


class _MeasuredError(Exception):
    """Ends a run whose steps are measured."""


def profile_run(trainer: Trainer) -> Path:
    """Take the first steps of a run and measure them; writes a trace that Perfetto and chrome://tracing open.

    Each part of a step is waited for, so that the work of a GPU counts where it was asked for. Weights change, and are
    not saved.

    Raises:
        ValueError: The run has too few steps.
    """
    _check_long_enough(trainer)
    trainer.recipe = trainer.recipe.replace(checkpoint_every=0)
    trainer.log.path = Path(os.devnull)  # the folder stays free for the run itself
    trainer.part = lambda name: _waited_for(name, trainer.accelerator.device)
    started = time.perf_counter()
    cycle = schedule(wait=0, warmup=WARM_UP, active=MEASURED, repeat=1)
    with suppress(_MeasuredError), profile(schedule=cycle) as profiler:
        trainer.after_step = lambda: _next_step(trainer, profiler)
        for epoch in range(trainer.recipe.optimization.epochs):
            trainer.train_epoch(epoch, started)
    path = Path(trainer.recipe.run.output_dir) / TRACE_FILE
    if trainer.accelerator.is_main_process:
        with whole_file(path) as partial:
            profiler.export_chrome_trace(str(partial))
        logger.info("%s\ntrace    %s", table_of_parts(_seconds(profiler), images=_images_a_step(trainer)), path)
    return path


def _next_step(trainer: Trainer, profiler: profile) -> None:
    profiler.step()
    if trainer.progress.step == WARM_UP + MEASURED:
        raise _MeasuredError


def table_of_parts(seconds: dict[str, float], *, images: int) -> str:
    """Milliseconds and share of each part of a step.

    Args:
        seconds: By part, and of the whole "step"; what no part has is "the rest".
        images: In a step of this process.
    """
    whole = seconds["step"]
    parts = {name: seconds[name] for name in PARTS_OF_A_STEP}
    rows = {**parts, "the rest": whole - sum(parts.values()), "step": whole}
    lines = [f"{name:<10} {1000 * value:10.1f} ms {value / whole:7.1%}" for name, value in rows.items()]
    return "\n".join([*lines, f"{images / whole:.1f} images/s, mean of {MEASURED} steps, a process"])


def _check_long_enough(trainer: Trainer) -> None:
    needed, steps = WARM_UP + MEASURED, trainer.recipe.optimization.epochs * trainer.steps_per_epoch
    if steps < needed:
        raise ValueError(
            f"profile: expected a run of {needed} steps or more, {WARM_UP} to warm up and {MEASURED} to measure, got "
            f"{steps}. Raise epochs or train_people, or lower batch_size."
        )


@contextmanager
def _waited_for(name: str, device: torch.device) -> Iterator[None]:
    with record_function(name):
        yield
        if device.type == "cuda":
            torch.cuda.synchronize(device)


def _seconds(profiler: profile) -> dict[str, float]:
    """Mean wall-clock seconds of a measured step, and of each of its parts."""
    events = [event for event in profiler.events() if event.device_type == torch.autograd.DeviceType.CPU]

    def mean(name: str) -> float:
        return sum(event.time_range.elapsed_us() for event in events if event.name == name) / MEASURED / 1e6

    return {"step": mean(_STEP), **{name: mean(name) for name in PARTS_OF_A_STEP}}


def _images_a_step(trainer: Trainer) -> int:
    return trainer.recipe.optimization.batch_size * trainer.recipe.optimization.gradient_accumulation_steps
