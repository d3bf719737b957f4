"""The newest frames of a source that goes on while nobody reads it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from .frames import Frame

logger = logging.getLogger(__name__)


class _Newest:
    """Reads frames in a thread of its own, and keeps the newest one."""

    def __init__(self, frames: Iterable[Frame]) -> None:
        self._frames = frames
        self._news = threading.Condition()
        self._newest: Frame | None = None
        self._error: BaseException | None = None
        self._is_over = False
        self.num_missed = 0
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[Frame]:
        """Each frame that is the newest when it is asked for; their numbers have no gaps."""
        count = 0
        while True:
            with self._news:
                self._news.wait_for(lambda: self._newest is not None or self._is_over)
                frame, self._newest = self._newest, None
            if frame is None:
                break
            yield replace(frame, index=count)
            count += 1
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """Stop reading, with the frame at hand."""
        self._is_over = True
        self._thread.join()

    def _read(self) -> None:
        try:
            for frame in self._frames:
                with self._news:
                    self.num_missed += self._newest is not None
                    self._newest = frame
                    self._news.notify()
                if self._is_over:
                    break
        except BaseException as error:
            self._error = error
        with self._news:
            self._is_over = True
            self._news.notify()


@contextmanager
def newest_frames(frames: Iterable[Frame], name: str) -> Iterator[Iterator[Frame]]:
    """Frames of a camera as they are now, however long each one takes: those that came in between are passed over.

    Otherwise a reader that is too slow falls behind more and more, until the camera gives up.

    Args:
        frames: All frames.
        name: What messages call the source.
    """
    newest = _Newest(frames)
    try:
        yield iter(newest)
    finally:
        newest.stop()
        if newest.num_missed:
            logger.info(
                "%s: %d frames came while others were looked at, and were passed over.", name, newest.num_missed
            )
