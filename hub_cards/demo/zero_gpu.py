"""ZeroGPU Spaces, where a GPU is attached for the duration of a call."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

Call = TypeVar("Call", bound=Callable[..., Any])


def on_gpu(function: Call, *, seconds: int = 60) -> Call:
    """Wrap a function for a ZeroGPU Space, which attaches a GPU for each call; elsewhere return it unchanged.

    It runs in a process of its own there, out of which `spaces` lets no message of an error but Gradio's own: errors
    that are for the user come back as values.

    Args:
        function: Its arguments and result must be fit for pickling.
        seconds: GPU time of a call.
    """
    try:
        import spaces
    except ModuleNotFoundError:
        return function

    def caught(*args: Any) -> tuple[Any, Exception | None]:
        try:
            return function(*args), None
        except (ValueError, OSError, ImportError) as error:
            return None, error

    lent = spaces.GPU(caught, duration=seconds)

    @functools.wraps(function)
    def lend(*args: Any) -> Any:
        result, error = lent(*args)
        if error is not None:
            raise error
        return result

    return cast(Call, lend)
