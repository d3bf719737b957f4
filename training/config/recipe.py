"""A recipe: every choice of a training run, in typed sections. `parsing` reads it from files and command lines."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from vitpose.base.names import unknown_name
from vitpose.modeling.keypoint_schemas import KeypointSchema, get_keypoint_schema, read_keypoint_schema

from ..data.loading import dataset_schema, get_known_dataset
from .fields import FieldIndex, FieldInfo
from .sections import (
    DATASETS,
    TOOLS,
    AugmentationSection,
    DatasetSection,
    EvaluationSection,
    ModelSection,
    OptimizationSection,
    RunSection,
    TargetsSection,
    TransferSection,
)
from .typed import read_values


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One training run; the sections' fields say what it does."""

    run: RunSection = field(default_factory=RunSection)
    model: ModelSection = field(default_factory=ModelSection)
    transfer: TransferSection = field(default_factory=TransferSection)
    dataset: DatasetSection = field(default_factory=DatasetSection)
    augmentation: AugmentationSection = field(default_factory=AugmentationSection)
    targets: TargetsSection = field(default_factory=TargetsSection)
    optimization: OptimizationSection = field(default_factory=OptimizationSection)
    evaluation: EvaluationSection = field(default_factory=EvaluationSection)

    @classmethod
    def from_fields(cls, **fields: Any) -> "Recipe":
        """The recipe of fields by bare name, such as `epochs=3`, or by section, such as `model={"preset": "base"}`.

        Raises:
            ValueError: A field is unknown, given twice, in the wrong section, or of a wrong type.
        """
        return cls().with_values(FIELDS.flatten(fields, "The recipe"))

    def replace(self, **fields: Any) -> "Recipe":
        """This recipe with other values in some fields, named as for `from_fields`."""
        return self.with_values(FIELDS.flatten(fields, "The recipe"))

    def with_values(self, values: Mapping[str, Any]) -> "Recipe":
        """This recipe with other values by full name, such as `{"optimization.epochs": 3}`, read in their types."""
        typed = read_values(FIELDS, {full: value for full, value in values.items() if full != "dataset.mixture"})
        if "dataset.mixture" in values:
            typed["dataset.mixture"] = _read_mixture(values["dataset.mixture"])
        sections = {
            name: dataclasses.replace(
                getattr(self, name),
                **{FIELDS.by_name[full].name: value for full, value in typed.items() if full.startswith(f"{name}.")},
            )
            for name in FIELDS.sections
        }
        return dataclasses.replace(self, **sections)

    def values(self) -> dict[str, Any]:
        """Every field's value by full name."""
        return {full: self.value_of(info) for full, info in FIELDS.by_name.items()}

    def value_of(self, info: FieldInfo) -> Any:
        """The value of one field."""
        return getattr(getattr(self, info.section), info.name)

    @cached_property
    def keypoint_schema(self) -> KeypointSchema:
        """The schema that `schema` names, else the data's own."""
        chosen, schema = self.dataset, self.dataset.schema
        if schema is None and chosen.data in TOOLS:
            return _schema_of_tool(chosen.data, chosen.data_dir, chosen.train_split, chosen.eval_split)
        schema = schema or (get_known_dataset(chosen.data).schema if chosen.data in DATASETS else "coco")
        return read_keypoint_schema(schema) if schema.endswith(".json") else get_keypoint_schema(schema)

    @property
    def box_padding(self) -> float:
        """Factor on a box's sides that the data is cropped with: a named dataset's own, else that of COCO."""
        data = self.dataset.data
        return get_known_dataset(data if data in DATASETS and data not in TOOLS else "coco").padding

    @property
    def parts(self) -> list["Recipe"]:
        """A recipe for each dataset of the mixture; without one, this recipe alone."""
        return [self._part(entry) for entry in self.dataset.mixture] or [self]

    def _part(self, entry: Mapping[str, Any]) -> "Recipe":
        differs = {name: value for name, value in entry.items() if name != "rate"}
        return dataclasses.replace(self, dataset=dataclasses.replace(self.dataset, mixture=[], **differs))

    @property
    def part_names(self) -> list[str]:
        """The name of each part in metrics and files: its data, numbered where that is not enough."""
        names = [part.dataset.data for part in self.parts]
        return [
            name if names.count(name) == 1 else f"{name}_{names[: place + 1].count(name)}"
            for place, name in enumerate(names)
        ]

    @property
    def rates(self) -> list[float]:
        """Draws of each person in an epoch, for each part."""
        return [float(entry.get("rate", 1.0)) for entry in self.dataset.mixture] or [1.0]

    @property
    def keypoint_schemas(self) -> list[KeypointSchema]:
        """One for each head of the model; parts whose keypoints have the same name share a head."""
        return list({part.keypoint_schema.name: part.keypoint_schema for part in self.parts}.values())


FIELDS = FieldIndex(Recipe)


def _schema_of_tool(data: str, data_dir: str | None, train_split: str, eval_split: str) -> KeypointSchema:
    """The keypoints of a tool's files, of the split to train on, where there is one."""
    try:
        return dataset_schema(data, data_dir, split=train_split)
    except ValueError as error:  # data to evaluate on alone
        try:
            return dataset_schema(data, data_dir, split=eval_split)
        except ValueError:
            raise error from None


def _read_mixture(entries: Any) -> list[dict[str, Any]]:
    if not isinstance(entries, list) or not all(isinstance(entry, Mapping) for entry in entries):
        raise ValueError(f"dataset.mixture: expected a list of fields for each dataset, in a file, got {entries!r}.")
    return [_read_part(number, entry) for number, entry in enumerate(entries)]


def _read_part(number: int, entry: Mapping[str, Any]) -> dict[str, Any]:
    """One entry of a mixture, in the types of its fields."""
    known = [info.name for info in FIELDS.by_name.values() if info.rules.per_dataset]
    for name in entry:
        if name not in (*known, "rate"):
            raise ValueError(unknown_name(f"dataset.mixture, entry {number}", name, [*known, "rate"]))
    try:
        typed = read_values(FIELDS, {f"dataset.{name}": value for name, value in entry.items() if name != "rate"})
    except ValueError as error:
        raise ValueError(f"dataset.mixture, entry {number}: {error}") from None
    return {name: typed.get(f"dataset.{name}", value) for name, value in entry.items()}
