"""Annotated people from COCO files, Parquet files, saved datasets or the Hub, in the columns of `people_columns`."""

import glob
import json
import logging
import os
import re
from pathlib import Path
from typing import Any

import datasets
import pyarrow.compute as pc
from datasets import Dataset, DatasetDict, Features
from datasets.exceptions import DatasetsError

from vitpose.modeling.keypoint_schemas import KeypointSchema

from .image_reading import read_image_size
from .people_columns import PEOPLE_FEATURES, check_files_exist, checked_columns, to_coco_annotations, usable_rows

__all__ = ["read_coco", "read_people", "to_coco_annotations"]

logger = logging.getLogger(__name__)

_IMAGE_FIELDS = ("id", "file_name", "width", "height")
_ANNOTATION_FIELDS = ("id", "image_id", "bbox", "keypoints")
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
    path, folder = Path(annotation_file), Path(image_dir)
    if not folder.is_dir():
        raise ValueError(f"There is no image folder {folder}. Check the path.")
    content = _load_coco_json(path)
    images = _by_id(content["images"], "image", _IMAGE_FIELDS, path)
    people = list(_by_id(content["annotations"], "annotation", _ANNOTATION_FIELDS, path).values())
    _check_categories(content.get("categories", []), schema, path)
    photos = [_photo_of(person, images, path) for person in people]
    files = [str(folder / photo["file_name"]) for photo in photos]
    check_files_exist(files)
    columns = {
        "image_id": [person["image_id"] for person in people],
        "person_id": [person["id"] for person in people],
        "width": [photo["width"] for photo in photos],
        "height": [photo["height"] for photo in photos],
        "bbox": [person["bbox"] for person in people],
        "area": [person.get("area") for person in people],
        "iscrowd": [person.get("iscrowd", 0) for person in people],
        "keypoints": [person["keypoints"] for person in people],
    }
    columns = checked_columns(columns, schema, where=lambda row: f"annotation {people[row]['id']} of {path}")
    stored = {"image": [{"bytes": None, "path": file} for file in files], **columns}
    kept = usable_rows(columns, min_keypoints=min_keypoints, source=str(path))
    return Dataset.from_dict(stored, features=PEOPLE_FEATURES).select(kept)


def _load_coco_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ValueError(f"There is no annotation file {path}. Check the path.")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # damaged JSON, or bytes that are no text
        raise ValueError(f"{path} is not valid JSON, perhaps an unfinished download: {error}.") from error
    if not isinstance(content, dict) or not all(
        isinstance(content.get(key), list) for key in ("images", "annotations")
    ):
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


def _photo_of(person: dict[str, Any], images: dict[int, dict[str, Any]], path: Path) -> dict[str, Any]:
    try:
        return images[person["image_id"]]
    except KeyError:
        message = f"annotation {person['id']} of {path} belongs to image {person['image_id']}, which the file lacks"
        raise ValueError(f"{message}. Add the image or remove the annotation.") from None


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
        stored = _open_stored(source, split)
    except (DatasetsError, OSError) as error:
        raise ValueError(
            f"Cannot read {source!r} as Parquet files, a folder of them, a saved dataset or a dataset on the Hub: {error}"
        ) from error
    if not isinstance(stored, DatasetDict):
        return stored
    if split is None and len(stored) == 1:
        return next(iter(stored.values()))
    if split not in stored:
        raise ValueError(f"{source} has the splits {list(stored)}: expected one of them as split, got {split!r}.")
    return stored[split]


def _open_stored(source: str, split: str | None) -> Dataset | DatasetDict:
    if source.endswith(".parquet") or glob.has_magic(source):
        files = sorted(glob.glob(source))
        if not files:
            raise ValueError(f"No file matches {source}. Check the path.")
        if split is not None:
            raise ValueError(f"Parquet files are one split: {source} takes no split, got {split!r}. Leave it out.")
        return Dataset.from_parquet(files)
    if any(Path(source, marker).is_file() for marker in ("state.json", "dataset_dict.json")):
        return datasets.load_from_disk(source)
    if not Path(source).is_dir() and not _HUB_ID.fullmatch(source):
        raise ValueError(f"There is no file or folder {source}. Check the path.")
    return datasets.load_dataset(source, split=split)


def _external_files(images: Dataset) -> list[str]:
    """Paths of the images that are not stored in the dataset itself."""
    files = []
    for batch in images.with_format("arrow").iter(batch_size=1000):
        column = batch["image"]
        outside = pc.is_null(pc.struct_field(column, "bytes"))
        files += pc.struct_field(column.filter(outside), "path").to_pylist()
    return files


def _with_defaults(columns: dict[str, Any], images: Dataset) -> dict[str, Any]:
    rows = list(range(len(images)))
    defaults = {"image_id": rows, "person_id": rows, "iscrowd": [0] * len(images)}
    if "width" not in columns or "height" not in columns:
        sizes = [read_image_size(images[row]["image"], row=row) for row in rows]
        defaults |= {"width": [size[0] for size in sizes], "height": [size[1] for size in sizes]}
    return {**defaults, **columns}
