"""Fields of a configuration that hold one type and may be given as several, such as a size given as one number."""

from typing import Any, Generic, TypeVar

Held = TypeVar("Held")
Given = TypeVar("Given")


class Settled(Generic[Held, Given]):
    """`Settled[Held, Given]`, a field that is given as the one, and read as the other once the configuration is made.

    A type checker reads the two methods. At runtime the subscript is `Given`, which is what transformers checks.
    """

    def __class_getitem__(cls, types: tuple[Any, Any]) -> Any:
        return types[1]

    def __get__(self, config: object, owner: type) -> Held:
        raise NotImplementedError

    def __set__(self, config: object, value: Given) -> None:
        raise NotImplementedError


def settled_default(value: Any) -> Any:
    """The default of a settled field, in a form that may be given."""
    return value
