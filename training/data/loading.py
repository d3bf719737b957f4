"""Datasets and annotation forms by name: people to train on, boxes of a detector, and ground truth for evaluation."""

import logging
import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from datasets import Dataset

from vitpose.base.errors import PlacedError
from vitpose.base.files import read_json
from vitpose.base.names import unknown_name
from vitpose.modeling.keypoint_schemas import KeypointSchema, get_keypoint_schema

from ..metrics.crowdpose import box_areas
from .coco_categories import choose_categories, whole_number
from .coco_exports import find_export, has_coco_files
from .columns import to_coco_annotations
from .readers.coco import read_coco
from .readers.coco_entries import is_plain
from .readers.detections import read_detections
from .registry import KNOWN_DATASETS, KnownDataset, Place
from .schema_from_coco import schema_from_annotations
from .tools.annotated import photo_entries, schema_of
from .tools.forms import (
    ANNOTATION_FORMS,
    AnnotationForm,
    list_annotation_forms,
    parse_form,
    read_form,
    recognize_form,
    tells_splits,
)

logger = logging.getLogger(__name__)

PUBLISHED_BOXES = "published"  # instead of a file of detections: the one of published results

_BY_BOX_AREA = ("aic", "crowdpose")  # scored with areas from boxes, since they have no outlines


def get_known_dataset(name: str) -> KnownDataset:
    """Look up a dataset by its name.

    Raises:
        ValueError: The name is unknown; the message has the nearest one.
    """
    if name not in KNOWN_DATASETS:
        raise ValueError(unknown_name("dataset", name, list_readable()))
    return KNOWN_DATASETS[name]


def list_known_datasets() -> list[str]:
    """List the names of the datasets, in the order of docs/datasets.md."""
    return list(KNOWN_DATASETS)


def list_readable() -> list[str]:
    """List what [`read_dataset`] reads: datasets by name, then the forms of annotation tools."""
    return [*KNOWN_DATASETS, *list_annotation_forms()]


def check_readable(name: str) -> None:
    """Raise a ValueError, with the nearest name, for one that [`read_dataset`] does not know."""
    if name not in ANNOTATION_FORMS:
        get_known_dataset(name)


def refuse_one_file(name: str, data_dir: str | None, train_split: str, eval_split: str) -> None:
    """Raise a ValueError where a tool's one file would be both the data to train on and to evaluate on, unsaid."""
    if data_dir is None or not Path(data_dir).is_file() or train_split == eval_split:
        return
    if name == "coco" or (name in ANNOTATION_FORMS and not tells_splits(ANNOTATION_FORMS[name], [Path(data_dir)])):
        raise ValueError(
            f"data_dir: {data_dir} is one file, which would be both {train_split} and {eval_split}. Give a folder with "
            f"a file for each, or set eval_split to {train_split} to evaluate on the people it trains on."
        )


def dataset_schema(
    name: str, data_dir: str | os.PathLike[str] | None, *, split: str, category: str | None = None
) -> KeypointSchema:
    """The keypoints of a dataset: its own, or those that the files of an annotation tool have.

    Raises:
        ValueError: The name is unknown, or the files have no keypoints or several skeletons.
    """
    if name not in ANNOTATION_FORMS:
        return get_keypoint_schema(get_known_dataset(name).schema)
    if data_dir is None:
        raise ValueError(f"data_dir: expected the folder of the data, since data is {name!r}, got null.")
    source, annotations = parse_form(ANNOTATION_FORMS[name], Path(data_dir), split)
    return schema_of(annotations, source, category)


def find_split(name: str, data_dir: str | os.PathLike[str], split: str) -> Place:
    """Find the annotation file and image folder of a split.

    Raises:
        ValueError: The dataset or the split is unknown, or its annotation file is in none of the usual places; the
            message lists them.
    """
    known, root = get_known_dataset(name), Path(data_dir)
    if name == "coco" and root.is_file():
        return find_export(root, split)
    if not root.is_dir():
        raise ValueError(f"There is no data folder {root}. Check data_dir.")
    places = known.splits.get(split, ())
    patterns = [(place.annotations.format(split=split), place) for place in (*places, *known.any_split)]
    for annotations, place in patterns:
        if (root / annotations).is_file():
            images = str(root / place.images.format(split=split))
            return Place(annotations=str(root / annotations), images=images, options=place.options)
    if name == "coco" and has_coco_files(root):
        return find_export(root, split)
    if not patterns:
        raise ValueError(
            f"{known.title} has the splits {', '.join(known.splits)}: expected one of them, got {split!r}."
        )
    looked_for = " or ".join(annotations for annotations, _ in patterns)
    raise ValueError(
        f"There is no {looked_for} in {root}, where the split {split!r} of {known.title} lies. Splits that it may "
        f"have: {', '.join(known.splits)}; docs/datasets.md shows the folders."
    )


def read_dataset(
    name: str,
    data_dir: str | os.PathLike[str],
    *,
    split: str,
    schema: KeypointSchema | None = None,
    min_keypoints: int = 1,
    everyone: bool = False,
    boxes: str | os.PathLike[str] | None = None,
    min_score: float = 0.0,
    category: str | None = None,
) -> Dataset:
    """Read a dataset by its name, from the folders that its download or an annotation tool makes.

    The photos stay on disk.

    Args:
        name: Of a dataset, such as `"coco"` or `"mpii"`, see `list_known_datasets()`, or of the form of an annotation
            tool, such as `"yolo"` or `"label_studio"`, see docs/annotations.md.
        data_dir: Folder of the dataset, laid out as in docs/datasets.md; of a tool also the file itself.
        split: Such as `"train"` or `"val"`, see docs/datasets.md.
        schema: Its keypoints; the dataset's own if None.
        min_keypoints: People with fewer labeled keypoints are left out, with their number in the log.
        everyone: Keep everyone, crowds included, as ground truth needs it.
        boxes: Boxes of a detector instead of the annotated ones: a COCO results file, or `"published"` for the file
            of the published results, in its usual place.
        min_score: Boxes with a lower score are left out.
        category: Whose keypoints to read, where a tool's file has several skeletons.

    Returns:
        People in the columns that docs/datasets.md describes.

    Raises:
        ValueError: The name is unknown, or a file or an entry is unusable; the message names it.
    """
    choices: dict[str, Any] = {"min_keypoints": min_keypoints, "everyone": everyone}
    if name in ANNOTATION_FORMS:
        _refuse_boxes(name, boxes)
        form = ANNOTATION_FORMS[name]
        return read_form(form, Path(data_dir), split=split, schema=schema, category=category, **choices)
    known, place = get_known_dataset(name), find_split(name, data_dir, split)
    schema = schema or get_keypoint_schema(known.schema)
    annotations, images = Path(place.annotations), Path(place.images)
    named = _category_choice(known, category)
    if boxes is not None:
        file = _published_boxes(known, Path(data_dir), split) if boxes == PUBLISHED_BOXES else boxes
        return read_detections(file, annotations, images, schema=schema, min_score=min_score, dataset=name, **named)
    choices |= named
    return known.reader(annotations, images, schema=schema, **choices, **place.options)


def _category_choice(known: KnownDataset, category: str | None) -> dict[str, str]:
    """The reader's argument; none where no category is chosen."""
    if category is None:
        return {}
    if getattr(known.reader, "func", None) is not read_coco:
        raise ValueError(f"category: {known.title} has one skeleton, got {category!r}. Leave it out.")
    return {"category": category}


def _refuse_boxes(name: str, boxes: Any) -> None:
    if boxes is not None:
        raise ValueError(
            f"boxes: a detector's boxes name photos by COCO's ids, which {ANNOTATION_FORMS[name].title} does not have. "
            "Use the annotated boxes."
        )


def _published_boxes(known: KnownDataset, root: Path, split: str) -> Path:
    file = known.detections.get(split)
    if file is None:
        having = ", ".join(known.detections) or "no split"
        raise ValueError(f"{known.title}: there are published boxes for {having}, not for {split!r}. Give a file.")
    return root / file


def read_ground_truth(
    name: str,
    data_dir: str | os.PathLike[str],
    *,
    split: str,
    schema: KeypointSchema | None = None,
    category: str | None = None,
) -> dict[str, Any]:
    """Read the COCO ground truth of a whole split, with everyone and with the photos without people.

    A file in COCO's layout is taken as it is, one without annotations as a test set; one of an annotation tool, whose
    entries are not all whole, or not all of the categories that are read, becomes the people that are read from it.
    Areas of AI Challenger and CrowdPose come from the boxes.

    Args:
        name: Name of the dataset.
        data_dir: Its folder.
        split: Its split.
        schema: Its keypoints; the dataset's own if None.
        category: As for [`read_dataset`].
    """
    if name in ANNOTATION_FORMS:
        return _ground_truth_of_form(name, Path(data_dir), split, schema, category)
    known, place = get_known_dataset(name), find_split(name, data_dir, split)
    schema = schema or get_keypoint_schema(known.schema)
    _category_choice(known, category)
    path = Path(place.annotations)
    filed = _coco_content(path)
    if filed is not None and is_plain(filed, schema, path, category=category):
        return box_areas(filed) if name in _BY_BOX_AREA else filed
    people = read_dataset(name, data_dir, split=split, schema=schema, everyone=True, category=category)
    truth = to_coco_annotations(people, schema)
    if filed is not None:  # photos of nobody, and species of which nobody is there but may be found
        chosen = choose_categories(filed.get("categories") or (), path, category=category, schema=schema)
        truth["images"] += _others(filed["images"], truth["images"])
        truth["categories"] += _others(chosen, truth["categories"])
    return truth


def _others(entries: Iterable[dict[str, Any]], known: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Entries with other ids than the known ones, each once, the id a whole number."""
    by_id = {number: entry | {"id": number} for entry in entries if (number := whole_number(entry["id"])) is not None}
    seen = {entry["id"] for entry in known}
    return [entry for number, entry in by_id.items() if number not in seen]


def _ground_truth_of_form(
    name: str, data: Path, split: str, schema: KeypointSchema | None, category: str | None
) -> dict[str, Any]:
    source, annotations = parse_form(ANNOTATION_FORMS[name], data, split)
    schema = schema or schema_of(annotations, source, category)
    people = read_dataset(name, data, split=split, schema=schema, everyone=True, category=category)
    return to_coco_annotations(people, schema) | {"images": photo_entries(annotations, source)}


def schema_of_files(data: Path, *, name: str | None = None, category: str | None = None) -> KeypointSchema:
    """The keypoints of an annotation file, or of the first split of a folder, in any form that is read.

    Args:
        data: The file, or a data folder.
        name: What to call the schema; the category's name if None.
        category: Whose keypoints, where several categories have some.

    Raises:
        ValueError: The form is unknown, there are no keypoints, or several skeletons and none is chosen.
    """
    form = recognize_form(data)
    if form is None and data.is_dir() and not has_coco_files(data):
        titles = "; ".join(known.title for known in ANNOTATION_FORMS.values())
        raise ValueError(
            f"{data}: expected annotations in COCO's layout or of {titles}, found none that can be read. Give the file "
            "itself, which tells more."
        )
    logger.info("%s: %s", data, "COCO keypoints" if form is None else form.title)
    if form is None:
        file = Path(find_split("coco", data, "train").annotations) if data.is_dir() else data
        return schema_from_annotations(file, name=name, category=category)
    schema = _first_schema(form, data, category)
    return replace(schema, name=name) if name else schema


def _first_schema(form: AnnotationForm, data: Path, category: str | None) -> KeypointSchema:
    """The keypoints of the first split that there is."""
    errors = []
    for split in ("train", "val", "test"):
        try:
            source, annotations = parse_form(form, data, split)
        except PlacedError:  # of an entry, so the split is there
            raise
        except ValueError as error:
            errors.append(error)
            continue
        return schema_of(annotations, source, category)
    raise errors[0]


def _coco_content(path: Path) -> dict[str, Any] | None:
    """Read a file in COCO's layout, with an empty list where a test set has no annotations; None for other layouts."""
    content = read_json(path) if path.suffix == ".json" else None
    if not isinstance(content, dict) or not ("annotations" in content or {"images", "categories"} <= content.keys()):
        return None
    return content | {"annotations": content.get("annotations", [])}
