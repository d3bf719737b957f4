"""GPUs of a Space on ZeroGPU, which are lent for a call."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

Call = TypeVar("Call", bound=Callable[..., Any])


def on_gpu(function: Call, *, seconds: int = 60) -> Call:
    """The function as a Space on ZeroGPU runs it, where the GPU is lent for a call; elsewhere the function itself.

    It runs in a process of its own there, out of which `spaces` lets no message of an error but Gradio's own: errors
    that are for the user come back as values.

    Args:
        function: arguments and result must be fit for pickling.
        seconds: that a call may take, of a GPU.
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
