"""A polite end of a run: what Ctrl-C asks for, and a scheduler with SIGTERM before it takes the machine away."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from accelerate import Accelerator

REQUESTS = (signal.SIGTERM, signal.SIGINT)


class PreemptedError(RuntimeError):
    """The run was asked to end; the message has the checkpoint that was saved."""


class TerminationNotice:
    """Notices a request to end, SIGTERM or Ctrl-C, in any of the processes of a run.

    Args:
        accelerator: Of the run; its processes agree in [`heard`].
    """

    def __init__(self, accelerator: Accelerator) -> None:
        self._accelerator = accelerator
        self._event = threading.Event()

    @contextmanager
    def listen(self) -> Iterator["TerminationNotice"]:
        """Take the signals as a notice while the block runs; a second Ctrl-C ends the process at once.

        Only a program's main thread hears signals.
        """
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        before = {request: signal.signal(request, self._note) for request in REQUESTS}
        try:
            yield self
        finally:
            for request, handler in before.items():
                signal.signal(request, handler)

    def _note(self, signal_number: int, frame: FrameType | None) -> None:
        if signal_number == signal.SIGINT:
            at_a_prompt = hasattr(sys, "ps1") or "ipykernel" in sys.modules  # whose process must outlive the run
            signal.signal(signal.SIGINT, signal.default_int_handler if at_a_prompt else _leave)
            if self._accelerator.is_main_process:
                os.write(2, b"\nSaving after this step, and ending; Ctrl-C again stops at once.\n")
        self._event.set()

    def heard(self) -> bool:
        """True where any process was asked to end; a collective call."""
        if self._accelerator.num_processes == 1:
            return self._event.is_set()
        if self._event.is_set():
            self._accelerator.set_trigger()
        return self._accelerator.check_trigger()


def _leave(signal_number: int, frame: FrameType | None) -> None:
    """End this process; an exception could get lost in what is just cleaned up."""
    os._exit(128 + signal_number)  # as shells count it
