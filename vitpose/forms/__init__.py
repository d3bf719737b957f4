"""The forms in which `vitpose predict` writes what it found; docs/predictions.md says which tool reads which."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Literal, get_args

from vitpose.modeling.keypoint_schemas import KeypointSchema
from vitpose.processing.people_vitpose import People

from ..base.names import unknown_name
from .base import Form, Photo, Source, Write
from .coco import coco_annotations, coco_results
from .deeplabcut import deeplabcut
from .label_studio import label_studio
from .openpose import openpose
from .table import csv_table, parquet_table
from .yolo import yolo

FormName = Literal["json", "coco-annotations", "label-studio", "yolo", "openpose", "deeplabcut", "csv", "parquet"]
FORMS: dict[FormName, Form] = {
    "json": coco_results,
    "coco-annotations": coco_annotations,
    "label-studio": label_studio,
    "yolo": yolo,
    "openpose": openpose,
    "deeplabcut": deeplabcut,
    "csv": csv_table,
    "parquet": parquet_table,
}
# whose files belong to photos, so that frames of a video have no place in them
FORMS_OF_PHOTOS: tuple[FormName, ...] = ("coco-annotations", "label-studio", "yolo")


def check_forms(names: Sequence[FormName], schema: KeypointSchema) -> None:
    """Raise a ValueError where a form is unknown, or cannot hold the schema's keypoints."""
    for name in names:
        if name not in get_args(FormName):
            raise ValueError(unknown_name("save", name, get_args(FormName)))
    if "openpose" in names:
        People.nobody(schema).to_openpose()


@contextmanager
def open_forms(names: Sequence[FormName], out: Path, source: Source) -> Iterator[Write]:
    """Open several forms in a folder at once; what is given to the function goes into each.

    Raises:
        ValueError: A form is unknown, or cannot hold the schema's keypoints.
    """
    check_forms(names, source.schema)
    with ExitStack() as stack:
        writes = [stack.enter_context(FORMS[name](out, source)) for name in dict.fromkeys(names)]

        def write(photo: Photo, people: People) -> None:
            for own in writes:
                own(photo, people)

        yield write
