"""Profile of a few steps by torch's profiler, as a trace file and as a table."""

import logging
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch.profiler import profile, record_function, schedule

from vitpose.base.files import whole_file

from .trainer import Step, Trainer

logger = logging.getLogger(__name__)

WARM_UP, MEASURED = 3, 5  # steps
TRACE_FILE = "trace.json"
PARTS_OF_A_STEP = ("data", "forward", "backward", "optimizer")
_STEP = "ProfilerStep*"  # what torch calls its steps in the list of events


def synchronized_parts(device: torch.device) -> Callable[[str], AbstractContextManager[None]]:
    """Marks the parts of a step, and waits at the end of each for the device, whose work then counts in its part."""

    @contextmanager
    def part(name: str) -> Iterator[None]:
        with record_function(name):
            yield
            if device.type == "cuda":
                torch.cuda.synchronize(device)

    return part


def profile_steps(trainer: Trainer[Any], output: Path) -> Path:
    """Take the first steps of a run and measure them; writes a trace that Perfetto and chrome://tracing open.

    Weights change; neither they nor a log are saved.

    Args:
        trainer: Of the run, which marks its parts by `synchronized_parts`.
        output: Folder of the trace.

    Raises:
        ValueError: The run has too few steps.
    """
    _check_long_enough(trainer.total_steps)
    cycle = schedule(wait=0, warmup=WARM_UP, active=MEASURED, repeat=1)
    with profile(schedule=cycle) as profiler, closing(_all_steps(trainer)) as steps:
        for _ in islice(steps, WARM_UP + MEASURED):
            profiler.step()
    path = output / TRACE_FILE
    if trainer.accelerator.is_main_process:
        with whole_file(path) as partial:
            profiler.export_chrome_trace(str(partial))
        optimization = trainer.recipe.optimization
        images = optimization.batch_size * optimization.gradient_accumulation_steps
        logger.info("%s\ntrace    %s", table_of_parts(_seconds(profiler), images=images), path)
    return path


def _all_steps(trainer: Trainer[Any]) -> Generator[Step, None, None]:
    for epoch in range(trainer.recipe.optimization.epochs):
        yield from trainer.steps(epoch)


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


def _check_long_enough(steps: int) -> None:
    needed = WARM_UP + MEASURED
    if steps < needed:
        raise ValueError(
            f"profile: expected a run of {needed} steps or more, {WARM_UP} to warm up and {MEASURED} to measure, got "
            f"{steps}. Raise epochs or train_people, or lower batch_size."
        )


def _seconds(profiler: profile) -> dict[str, float]:
    """Mean wall-clock seconds of a measured step, and of each of its parts."""
    events = [event for event in profiler.events() if event.device_type == torch.autograd.DeviceType.CPU]

    def mean(name: str) -> float:
        return sum(event.time_range.elapsed_us() for event in events if event.name == name) / MEASURED / 1e6

    return {"step": mean(_STEP), **{name: mean(name) for name in PARTS_OF_A_STEP}}
