"""ZeroGPU Spaces, where a GPU is attached for the duration of a call."""

import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any, TypeVar, cast

from .messages import MISTAKES

Call = TypeVar("Call", bound=Callable[..., Any])


def on_gpu(function: Call, *, seconds: int = 60) -> Call:
    """Wrap a function for a ZeroGPU Space, which attaches a GPU for each call; elsewhere return it unchanged.

    It runs in a process of its own there, out of which `spaces` lets no message of an error but Gradio's own: errors
    that are for the user come back as values.

    Args:
        function: Its arguments and result must be fit for pickling; of a generator, what it yields.
        seconds: GPU time of a call.
    """
    try:
        import spaces
    except ModuleNotFoundError:
        return function
    wrap = _lend_steps if inspect.isgeneratorfunction(function) else _lend
    return cast(Call, functools.wraps(function)(wrap(function, lambda task: spaces.GPU(task, duration=seconds))))


def _lend(function: Callable[..., Any], on_loan: Callable[[Any], Any]) -> Callable[..., Any]:
    def caught(*args: Any) -> tuple[Any, Exception | None]:
        try:
            return function(*args), None
        except MISTAKES as error:
            return None, error

    lent = on_loan(caught)

    def lend(*args: Any) -> Any:
        result, error = lent(*args)
        if error is not None:
            raise error
        return result

    return lend


def _lend_steps(function: Callable[..., Iterator[Any]], on_loan: Callable[[Any], Any]) -> Callable[..., Iterator[Any]]:
    def caught(*args: Any) -> Iterator[tuple[Any, Exception | None]]:
        try:
            for result in function(*args):
                yield result, None
        except MISTAKES as error:
            yield None, error

    lent = on_loan(caught)

    def lend(*args: Any) -> Iterator[Any]:
        for result, error in lent(*args):
            if error is not None:
                raise error
            yield result

    return lend
