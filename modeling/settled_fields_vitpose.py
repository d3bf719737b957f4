"""Fields of a configuration that hold one type and may be given as several, such as a size given as one number."""

from typing import TYPE_CHECKING, Any, Generic, TypeVar

Held = TypeVar("Held")
Given = TypeVar("Given")

if TYPE_CHECKING:

    class Settled(Generic[Held, Given]):
        """`Settled[Held, Given]`: given as the one, and read as the other once the configuration is made."""

        def __get__(self, config: object, owner: type) -> Held: ...

        def __set__(self, config: object, value: Given) -> None: ...
else:

    class Settled:
        """At runtime the type that may be given, which is what transformers reads of a field."""

        def __class_getitem__(cls, types: tuple[type, type]) -> type:
            return types[1]


def default(value: Any) -> Any:
    """The default of a settled field, as it may be given."""
    return value
