"""Several processes for one run, by the launchers of Accelerate and torch; one Ctrl-C ends them all."""

import logging
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType

import psutil
import torch
from accelerate.commands.config.config_args import default_config_file, load_config_from_file
from accelerate.commands.launch import launch_command, launch_command_parser
from accelerate.utils import DistributedType
from torch.distributed import run as torchrun
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

# A kind of launch that a configuration may ask for beyond one process a GPU, which the flag would contradict.
_KINDS_OF_THEIR_OWN = (DistributedType.FSDP, DistributedType.DEEPSPEED, DistributedType.MEGATRON_LM)


def launch(count: int, module: Sequence[str]) -> int:
    """Run a module in processes of this machine and wait for them; returns the first status that is not 0.

    Without GPUs they are joined by gloo. With GPUs each has one, and the configuration that `accelerate config` wrote
    holds for all but the number.

    Args:
        count: Number of processes, two or more.
        module: Name of the module and its arguments.

    Raises:
        ValueError: There are GPUs, but not so many, the configuration contradicts the number, or this is Windows.
    """
    if os.name == "nt":  # where signals do not reach processes, which would end without saving
        raise ValueError("--num-processes: several processes are for Linux and macOS; on Windows leave it out.")
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # each process tells its own mistakes
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # as a launcher would, with a warning; a run raises it
    os.environ["PET_SIGNALS_TO_HANDLE"] = "SIGHUP,SIGQUIT"  # of torch: else it kills a run that is still saving
    try:
        with _signals_handed_on():
            _start(count, module)
    except ChildFailedError as error:
        statuses = [failure.exitcode for failure in error.failures.values()]
        return min((status for status in statuses if status > 0), default=1)
    return 0


def _start(count: int, module: Sequence[str]) -> None:
    gpus = torch.cuda.device_count()
    if not gpus:
        os.environ["ACCELERATE_USE_CPU"] = "true"
        torchrun.main(["--standalone", f"--nproc-per-node={count}", "--module", *module])
        return
    if count > gpus:
        raise ValueError(f"--num-processes: expected {gpus} or fewer, one for each GPU, got {count}.")
    kind = load_config_from_file(None).distributed_type if os.path.isfile(default_config_file) else None
    flags = [] if kind in _KINDS_OF_THEIR_OWN else ["--multi_gpu"]
    if kind is None:  # what it would choose itself, with a warning
        flags += ["--num_machines=1", "--mixed_precision=no", "--dynamo_backend=no"]
    launch_command(launch_command_parser().parse_args([*flags, f"--num_processes={count}", "--module", *module]))


@contextmanager
def _signals_handed_on() -> Iterator[None]:
    """Hand Ctrl-C and SIGTERM on to the processes, which save and end; a terminal does not reach them itself."""

    def hand_on(number: int, frame: FrameType | None) -> None:
        for child in psutil.Process().children():
            with suppress(psutil.NoSuchProcess):  # it may end in this moment
                child.send_signal(number)

    before = {number: signal.signal(number, hand_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
