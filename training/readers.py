"""Annotated people from COCO files, Parquet files, saved datasets or the Hub, in the columns of `people_columns`."""

import glob
import json
import logging
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset, DatasetDict, Features, Value
from datasets.exceptions import DatasetsError

from vitpose.modeling.keypoint_schemas import KeypointSchema

from .image_reading import read_image_size
from .people_columns import PEOPLE_FEATURES, check_files_exist, checked_columns, to_coco_annotations, usable_rows

__all__ = ["read_coco", "read_detections", "read_people", "to_coco_annotations"]

logger = logging.getLogger(__name__)

_IMAGE_FIELDS = ("id", "file_name", "width", "height")
_PERSON_CATEGORY = 1
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def read_coco(
    annotation_file: str | os.PathLike[str],
    image_dir: str | os.PathLike[str],
    *,
    schema: KeypointSchema,
    min_keypoints: int = 1,
) -> Dataset:
    """Read a COCO keypoint annotation file. The photos stay on disk; every one is known to exist.

    Crowds, people with fewer than `min_keypoints` labelled keypoints and people with a box outside the image are left
    out, with their number in the log. To evaluate as COCO does, give the annotation file itself to the metric.

    Args:
        annotation_file: JSON in COCO layout, such as `person_keypoints_train2017.json`.
        image_dir: Folder of the photos; each `file_name` is relative to it.
        schema: The keypoints of the file.
        min_keypoints: People with fewer labelled keypoints are left out.

    Raises:
        ValueError: A file or folder is missing, the JSON is damaged, or an annotation is unusable; the message names
            the file and the annotation.
    """
    path = Path(annotation_file)
    content = _load_coco_annotations(path)
    images = _by_id(content["images"], "image", _IMAGE_FIELDS, path)
    annotations = _by_id(content["annotations"], "annotation", ("id", "image_id", "bbox", "keypoints"), path)
    _check_categories(content.get("categories", []), schema, path)
    people = list(annotations.values())
    on_disk = _PeopleOnDisk(items=people, kind="annotation", path=path, images=images, folder=Path(image_dir))
    return on_disk.to_dataset(schema, min_keypoints=min_keypoints)


def read_detections(
    results_file: str | os.PathLike[str],
    annotation_file: str | os.PathLike[str],
    image_dir: str | os.PathLike[str],
    *,
    schema: KeypointSchema,
) -> Dataset:
    """Read a person detector's boxes, to evaluate on them instead of the annotated ones.

    Boxes of other categories than person (1) and boxes outside their image are left out, the latter with their number
    in the log.

    Args:
        results_file: JSON list of COCO results with image_id, category_id, bbox and score.
        annotation_file: The COCO file that describes the images.
        image_dir: Folder of the photos.
        schema: The keypoints that will be predicted.

    Returns:
        The common columns, with no keypoint labelled, and `box_score`, the detector's confidence.

    Raises:
        ValueError: As [`read_coco`]; also when a result lacks a field.
    """
    path, described = Path(results_file), Path(annotation_file)
    images = _by_id(_load_coco_annotations(described)["images"], "image", _IMAGE_FIELDS, described)
    results = _load_json(path)
    if not isinstance(results, list):
        raise ValueError(f"{path} is not a COCO results file: expected a list, got {type(results).__name__}.")
    unlabelled = [0.0] * (3 * schema.num_keypoints)
    results = [{**result, "id": number, "keypoints": unlabelled} for number, result in enumerate(results)]
    _by_id(results, "result", ("image_id", "category_id", "bbox", "score"), path)
    found = [result for result in results if result["category_id"] == _PERSON_CATEGORY]
    on_disk = _PeopleOnDisk(items=found, kind="result", path=path, images=images, folder=Path(image_dir))
    return on_disk.to_dataset(schema, min_keypoints=0, box_score=[result["score"] for result in found])


@dataclass(frozen=True, kw_only=True)
class _PeopleOnDisk:
    """Annotations or results of one file, of people whose photos lie in one folder."""

    items: list[dict[str, Any]]
    kind: str
    path: Path
    images: dict[int, dict[str, Any]]
    folder: Path

    def to_dataset(self, schema: KeypointSchema, *, min_keypoints: int, **extra_columns: list[float]) -> Dataset:
        """The items in the common columns, boxes and keypoints in image pixels, unusable ones left out and logged."""
        photos = [self._photo_of(item) for item in self.items]
        files = self._photo_files(photos)
        columns: dict[str, Any] = {
            "image_id": [item["image_id"] for item in self.items],
            "person_id": [item["id"] for item in self.items],
            "width": [photo["width"] for photo in photos],
            "height": [photo["height"] for photo in photos],
            "bbox": [item["bbox"] for item in self.items],
            "area": [item.get("area") for item in self.items],
            "iscrowd": [item.get("iscrowd", 0) for item in self.items],
            "keypoints": [item["keypoints"] for item in self.items],
        }
        columns = checked_columns(columns, schema, where=self._where)
        kept = usable_rows(columns, min_keypoints=min_keypoints, source=str(self.path))
        stored = {"image": [{"bytes": None, "path": file} for file in files], **columns, **extra_columns}
        features = Features({**PEOPLE_FEATURES, **{name: Value("float64") for name in extra_columns}})
        return Dataset.from_dict(stored, features=features).select(kept)

    def _where(self, row: int) -> str:
        return f"{self.kind} {self.items[row]['id']} of {self.path}"

    def _photo_of(self, item: dict[str, Any]) -> dict[str, Any]:
        photo = self.images.get(item["image_id"])
        if photo is None:
            name = f"{self.kind} {item['id']} of {self.path}"
            raise ValueError(f"{name} is of the unknown image {item['image_id']}. Add the image or remove it.")
        return photo

    def _photo_files(self, photos: list[dict[str, Any]]) -> list[str]:
        if not self.folder.is_dir():
            raise ValueError(f"There is no image folder {self.folder}. Check the path.")
        files = [str(self.folder / photo["file_name"]) for photo in photos]
        check_files_exist(files)
        return files


def _load_json(path: Path) -> Any:
    if not path.is_file():
        raise ValueError(f"There is no file {path}. Check the path.")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # damaged JSON, or bytes that are no text
        raise ValueError(f"{path} is not valid JSON, perhaps an unfinished download: {error}.") from error


def _load_coco_annotations(path: Path) -> dict[str, Any]:
    content = _load_json(path)
    lists = [content.get("images"), content.get("annotations")] if isinstance(content, dict) else [None]
    if not all(isinstance(items, list) for items in lists):
        raise ValueError(f"{path} is not in COCO layout: expected an object with the lists images and annotations.")
    return content


def _by_id(items: list[dict[str, Any]], kind: str, required: tuple[str, ...], path: Path) -> dict[int, dict[str, Any]]:
    """Images or annotations of a file by their id, each with all the fields it needs."""
    found: dict[int, dict[str, Any]] = {}
    for position, item in enumerate(items):
        missing = [field for field in required if field not in item]
        if missing:
            name = f"{kind} {item['id']}" if "id" in item else f"{kind} number {position}"
            raise ValueError(f"{name} of {path} lacks {missing}: expected {list(required)}. Use a keypoint file.")
        if item["id"] in found:
            raise ValueError(f"{kind} {item['id']} occurs twice in {path}: expected each id once. Renumber them.")
        found[item["id"]] = item
    return found


def _check_categories(categories: list[dict[str, Any]], schema: KeypointSchema, path: Path) -> None:
    """Refuse other keypoint counts; warn of other names, since datasets spell the same keypoint in several ways."""
    for category in categories:
        names = category.get("keypoints")
        if names is None:
            continue
        if len(names) != schema.num_keypoints:
            raise ValueError(
                f"{path} has {len(names)} keypoints ({', '.join(names)}), the schema {schema.name!r} expects "
                f"{schema.num_keypoints}. Choose the schema of this file."
            )
        pairs = zip(names, schema.keypoints, strict=True)
        unlike = [f"{name} / {expected}" for name, expected in pairs if _plain(name) != _plain(expected)]
        if unlike:
            message = "%s and the schema %r name keypoints differently, be sure that they mean the same: %s."
            logger.warning(message, path, schema.name, ", ".join(unlike))
            return


def _plain(name: str) -> str:
    return re.sub("[^a-z0-9]", "", name.lower())


def read_people(
    source: str | os.PathLike[str] | Dataset,
    *,
    schema: KeypointSchema,
    split: str | None = None,
    min_keypoints: int = 1,
) -> Dataset:
    """Read people with the columns image, bbox and keypoints; the images stay as they are stored.

    Columns that are absent are filled: image_id and person_id with the number of the row, width and height from the
    image's header, area with that of the box, iscrowd with 0. Further columns are dropped.

    Args:
        source: A Parquet file or pattern (`"data/train-*.parquet"`), a folder of Parquet files, a folder written by
            `save_to_disk`, the id of a dataset on the Hub, or a `datasets.Dataset`.
        schema: The keypoints of the data.
        split: The split of a folder or of a dataset on the Hub, such as `"train"`; None where there is only one.
        min_keypoints: People with fewer labelled keypoints are left out, with their number in the log.

    Raises:
        ValueError: The source does not exist, a column or an image file is missing, or a row is unusable; the message
            names it.
    """
    name = "the dataset" if isinstance(source, Dataset) else os.fspath(source)
    stored = source if isinstance(source, Dataset) else _load_stored(name, split)
    missing = [column for column in ("image", "bbox", "keypoints") if column not in stored.column_names]
    if missing:
        raise ValueError(f"{name} lacks the columns {missing}: it has {stored.column_names}. Rename its columns.")
    images = stored.select_columns("image").cast_column("image", datasets.Image(decode=False))
    check_files_exist(_external_files(images))
    features = Features({column: PEOPLE_FEATURES[column] for column in PEOPLE_FEATURES if column != "image"})
    present = stored.select_columns([column for column in features if column in stored.column_names])
    columns = _with_defaults(present.with_format(None)[:], images)
    columns = checked_columns(columns, schema, where=lambda row: f"row {row} of {name}")
    kept = usable_rows(columns, min_keypoints=min_keypoints, source=name)
    numbers = Dataset.from_dict({column: columns[column] for column in features}, features=features)
    return datasets.concatenate_datasets([images, numbers], axis=1).select(kept)  # joined without copying the images


def _load_stored(source: str, split: str | None) -> Dataset:
    try:
        if source.endswith(".parquet") or glob.has_magic(source):
            return _load_parquet(source, split)
        if any(Path(source, marker).is_file() for marker in ("state.json", "dataset_dict.json")):
            return _load_saved(source, split)
        if not Path(source).is_dir() and not _HUB_ID.fullmatch(source):
            raise ValueError(f"There is no file or folder {source}. Check the path.")
        split = _choose_split(datasets.get_dataset_split_names(source), split, source)
        return datasets.load_dataset(source, split=split)
    except (DatasetsError, OSError, pa.ArrowInvalid) as error:
        message = f"Cannot read {source} as Parquet files, a saved dataset or a dataset on the Hub"
        raise ValueError(f"{message}: {error}") from error


def _load_parquet(pattern: str, split: str | None) -> Dataset:
    files = sorted(glob.glob(pattern))
    if not files:
        raise ValueError(f"No file matches {pattern}. Check the path.")
    if split is not None:
        raise ValueError(f"{pattern} names files, without splits: leave out split={split!r} or give their folder.")
    return Dataset.from_parquet(files)


def _load_saved(folder: str, split: str | None) -> Dataset:
    saved = datasets.load_from_disk(folder)
    if isinstance(saved, DatasetDict):
        return saved[_choose_split(list(saved), split, folder)]
    if split is not None:
        raise ValueError(f"{folder} holds one dataset without splits: leave out split={split!r}.")
    return saved


def _choose_split(names: list[str], split: str | None, source: str) -> str:
    if split is None and len(names) == 1:
        return names[0]
    if split == "val" and "val" not in names:
        split = "validation"  # what `datasets` calls files named val-*
    if split not in names:
        raise ValueError(f"{source} has the splits {', '.join(names)}: expected one of them, got split={split!r}.")
    return split


def _external_files(images: Dataset) -> list[str]:
    """Paths of the images that are not stored in the dataset itself; empty where even the path is absent."""
    files = []
    for batch in images.with_format("arrow").iter(batch_size=1000):
        column = batch["image"]
        outside = pc.is_null(pc.struct_field(column, "bytes"))
        files += pc.fill_null(pc.struct_field(column.filter(outside), "path"), "").to_pylist()
    return files


def _with_defaults(columns: dict[str, Any], images: Dataset) -> dict[str, Any]:
    rows = list(range(len(images)))
    defaults = {"image_id": rows, "person_id": rows, "iscrowd": [0] * len(images)}
    if "width" not in columns or "height" not in columns:
        sizes = [read_image_size(images[row]["image"], row=row) for row in rows]
        defaults |= {"width": [size[0] for size in sizes], "height": [size[1] for size in sizes]}
    return {**defaults, **columns}
