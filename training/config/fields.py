"""The fields of a dataclass of sections, found by full names (`optimization.epochs`) or bare ones (`epochs`)."""

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_type_hints

from vitpose.base.names import unknown_name

from .rules import Rules, rules_of


@dataclass(frozen=True, kw_only=True)
class FieldInfo:
    """One field of a section, with its type, default and rules."""

    section: str
    name: str
    kind: Any
    default: Any
    rules: Rules

    @property
    def full_name(self) -> str:
        """Section and name, such as `optimization.epochs`."""
        return f"{self.section}.{self.name}"


class FieldIndex:
    """The fields of a dataclass whose own fields are its sections.

    Args:
        owner: The dataclass.
    """

    def __init__(self, owner: type) -> None:
        kinds = get_type_hints(owner)
        self.sections: dict[str, type] = {section.name: kinds[section.name] for section in dataclasses.fields(owner)}
        self.by_name = {info.full_name: info for info in self._declared()}

    def _declared(self) -> Iterator[FieldInfo]:
        for section, kind in self.sections.items():
            kinds, defaults = get_type_hints(kind), kind()
            for declared in dataclasses.fields(kind):
                name, rules = declared.name, rules_of(declared)
                default = getattr(defaults, name)
                yield FieldInfo(section=section, name=name, kind=kinds[name], default=default, rules=rules)

    def find(self, name: Any, owner: str) -> FieldInfo:
        """The field of a full or bare name.

        Args:
            name: As it was written.
            owner: Where the name was read, for messages.

        Raises:
            ValueError: No field has it, its section has not, or several sections have.
        """
        if name in self.by_name:
            return self.by_name[name]
        section, dot, bare = str(name).rpartition(".")
        places = [full for full, info in self.by_name.items() if info.name == bare]
        if dot and section in self.sections and places:
            raise ValueError(f"{owner}: section {section} has no field {bare!r}, expected {' or '.join(places)}.")
        if dot or not places or not isinstance(name, str):
            known = self.by_name if dot else [*(info.name for info in self.by_name.values()), *self.sections]
            raise ValueError(unknown_name(f"{owner}, field", name, known))
        if len(places) > 1:
            raise ValueError(f"{owner}: sections share the field name {name!r}, expected {' or '.join(places)}.")
        return self.by_name[places[0]]

    def flatten(self, fields: Mapping[Any, Any], owner: str) -> dict[str, Any]:
        """The values of bare, full and sectioned fields, by full name.

        Args:
            fields: Such as `{"epochs": 3, "model.preset": "base", "evaluation": {"flip_test": False}}`.
            owner: Where they were read, for messages.

        Raises:
            ValueError: `find` raises, a section holds no fields, or a field is given twice.
        """
        values: dict[str, Any] = {}
        for name, value in self._pairs(fields, owner):
            full = self.find(name, owner).full_name
            if full in values:
                raise ValueError(f"{owner} gives {full} twice: expected it once, bare or in its section.")
            values[full] = value
        return values

    def _pairs(self, fields: Mapping[Any, Any], owner: str) -> Iterator[tuple[Any, Any]]:
        for name, value in fields.items():
            if name not in self.sections:
                yield name, value
            elif isinstance(value, Mapping):
                yield from ((f"{name}.{inner}", own) for inner, own in value.items())
            else:
                raise ValueError(f"{owner}: section {name}: expected lines 'field: value', got {value!r}.")
