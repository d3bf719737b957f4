"""A polite end of a run: what a scheduler asks for with SIGTERM before it takes the machine away."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from accelerate import Accelerator


class PreemptedError(RuntimeError):
    """The run was asked to end; the message has the checkpoint that was saved."""


class TerminationNotice:
    """Notices a request to end (SIGTERM) in any of the processes of a run.

    Args:
        accelerator: Of the run; its processes agree in [`heard`].
    """

    def __init__(self, accelerator: Accelerator) -> None:
        self._accelerator = accelerator
        self._event = threading.Event()

    @contextmanager
    def listen(self) -> Iterator["TerminationNotice"]:
        """Take SIGTERM as a notice while the block runs. Only a program's main thread hears signals."""
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        before = signal.signal(signal.SIGTERM, self._note)
        try:
            yield self
        finally:
            signal.signal(signal.SIGTERM, before)

    def _note(self, signal_number: int, frame: FrameType | None) -> None:
        self._event.set()

    def heard(self) -> bool:
        """True where any process was asked to end; a collective call."""
        if self._accelerator.num_processes == 1:
            return self._event.is_set()
        if self._event.is_set():
            self._accelerator.set_trigger()
        return self._accelerator.check_trigger()
