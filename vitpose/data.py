"""Annotated people: datasets by name or file, in one set of columns, and generated people.

[`read_dataset`] reads the datasets that have a name and the files of annotation tools, [`read_coco`] any file in COCO's
layout, [`read_people`] Parquet files, saved datasets and the Hub. Their columns are described in docs/datasets.md.
[`HeatmapDataset`] makes of them what a model trains on.
"""

from .training.data.columns import to_coco_annotations
from .training.data.loading import (
    get_known_dataset,
    list_known_datasets,
    read_dataset,
    read_ground_truth,
    schema_of_files,
)
from .training.data.readers.coco import read_coco
from .training.data.readers.detections import read_detections
from .training.data.registry import KnownDataset
from .training.data.schema_from_coco import schema_from_annotations
from .training.data.stored import read_people
from .training.data.tools.forms import list_annotation_forms
from .training.samples.heatmap_dataset import EpochCallback, HeatmapDataset
from .training.samples.pose import Augmentation
from .training.synthetic.people import SyntheticPeople

__all__ = [
    "Augmentation",
    "EpochCallback",
    "HeatmapDataset",
    "KnownDataset",
    "SyntheticPeople",
    "get_known_dataset",
    "list_annotation_forms",
    "list_known_datasets",
    "read_coco",
    "read_dataset",
    "read_detections",
    "read_ground_truth",
    "read_people",
    "schema_from_annotations",
    "schema_of_files",
    "to_coco_annotations",
]
