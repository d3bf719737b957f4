"""People, animals and detections of files in COCO's layout."""

import logging
import os
from collections.abc import Callable, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset

from vitpose.base.errors import PlacedError
from vitpose.base.files import read_json
from vitpose.modeling.keypoint_schemas import KeypointSchema
from vitpose.processing.people_vitpose import PERSON_CATEGORY

from ..coco_file import CocoFile, Item, by_id, check_category, parse_coco, places_of, read_slim_json
from ..table import people_table

logger = logging.getLogger(__name__)

_ANNOTATION_FIELDS = ("id", "image_id", "bbox", "keypoints")
# columns that some files have, and what they are called there
_OF_IMAGES = {"crowd_index": "crowdIndex", "video_id": "video_id"}
_OF_PEOPLE = {name: name for name in ("foot_valid", "face_valid", "lefthand_valid", "righthand_valid", "track_id")}


def read_coco(
    annotation_file: str | os.PathLike[str],
    image_dir: str | os.PathLike[str],
    *,
    schema: KeypointSchema,
    min_keypoints: int = 1,
    everyone: bool = False,
    dataset: str | None = None,
    box_share: float | None = None,
) -> Dataset:
    """Read a COCO keypoint annotation file. The photos stay on disk, and are checked to exist.

    Crowds, people with fewer than `min_keypoints` labeled keypoints and people with a box outside the image are left
    out, with their number in the log. To evaluate as COCO does, pass the annotation file itself to the metric.

    Args:
        annotation_file: JSON in COCO layout, such as `person_keypoints_train2017.json`.
        image_dir: Folder of the photos; each `file_name` is relative to it.
        schema: The keypoints of the file.
        min_keypoints: People with fewer labeled keypoints are left out.
        everyone: Keep everyone.
        dataset: Name of the dataset; the schema's if None.
        box_share: Share of the box to take for the area; None takes the file's area.

    Raises:
        ValueError: A file or folder is missing, the JSON is damaged, or an annotation is unusable; the message names
            the file and the annotation.
    """
    path = Path(annotation_file)
    file = parse_coco(read_slim_json(path), path, schema=schema)
    return coco_people(
        file,
        Path(image_dir),
        schema=schema,
        min_keypoints=min_keypoints,
        everyone=everyone,
        dataset=dataset,
        box_share=box_share,
    )


def coco_people(
    file: CocoFile,
    image_dir: Path,
    *,
    schema: KeypointSchema,
    min_keypoints: int,
    everyone: bool,
    dataset: str | None = None,
    box_share: float | None = None,
    required: Sequence[str] = (),
    keypoints_of: Callable[[Item], Any] = itemgetter("keypoints"),
) -> Dataset:
    """Convert the people of a parsed file; arguments as [`read_coco`], and two more.

    Args:
        required: Fields that its annotations have beyond COCO's.
        keypoints_of: Returns the K x [x, y, v] of an annotation.
    """
    people = list(by_id(file.annotations, "annotation", (*_ANNOTATION_FIELDS, *required), file.path).values())
    for person in people:
        file.photo_of(person, "annotation", file.path)
        check_category(person, file)
    place_of = places_of("annotation", [person["id"] for person in people], file.path)
    columns, files = _columns(people, file, image_dir)
    columns["keypoints"] = [keypoints_of(person) for person in people]
    columns["iscrowd"] = np.array([person.get("iscrowd", 0) for person in people])
    columns["area"] = [person.get("area") for person in people]
    if box_share is not None:
        columns["area"] = [_share(person["bbox"], box_share) for person in people]
    return people_table(
        columns,
        files,
        schema=schema,
        dataset=dataset or schema.name,
        source=file.path,
        place_of=place_of,
        min_keypoints=min_keypoints,
        everyone=everyone,
    )


def _share(box: Any, share: float) -> float | None:
    """Share of a box's area; None for an invalid box, which is refused by name later."""
    return share * box[2] * box[3] if isinstance(box, list) and len(box) == 4 else None


def _columns(items: list[Item], file: CocoFile, image_dir: Path) -> tuple[dict[str, Any], list[str]]:
    """Columns that annotations and results share, and the photo of each."""
    photos = [file.images[item["image_id"]] for item in items]
    paths = file.photo_files(image_dir)
    columns: dict[str, Any] = {
        "image_id": np.array([item["image_id"] for item in items], dtype=np.int64),
        "person_id": np.array([item["id"] for item in items], dtype=np.int64),
        "width": [photo["width"] for photo in photos],
        "height": [photo["height"] for photo in photos],
        "bbox": [item["bbox"] for item in items],
    }
    for name, field in _OF_IMAGES.items():
        columns |= _present(name, [photo.get(field) for photo in photos])
    for name, field in _OF_PEOPLE.items():
        columns |= _present(name, [item.get(field) for item in items])
    if len(file.categories) > 1:
        columns["category_id"] = [item.get("category_id") for item in items]
        names = {number: category.get("name") for number, category in file.categories.items()}
        columns["category"] = [names.get(number) for number in columns["category_id"]]
    return columns, [paths[item["image_id"]] for item in items]


def _present(name: str, values: list[Any]) -> dict[str, list[Any]]:
    """Make a column, unless every value is missing."""
    return {name: values} if any(value is not None for value in values) else {}


def read_detections(
    results_file: str | os.PathLike[str],
    annotation_file: str | os.PathLike[str],
    image_dir: str | os.PathLike[str],
    *,
    schema: KeypointSchema,
    min_score: float = 0.0,
    dataset: str | None = None,
) -> Dataset:
    """Read a detector's boxes, to evaluate on them instead of the annotated ones.

    Boxes below `min_score`, of other categories than the annotation file's (person, where it has none) and outside
    their image are left out, with their number in the log.

    Args:
        results_file: JSON list of COCO results with image_id, category_id, bbox and score, such as
            `COCO_val2017_detections_AP_H_56_person.json`, the usual boxes of a person detector of 56 AP.
        annotation_file: The COCO file that describes the images; one without annotations, such as
            `image_info_test-dev2017.json`, will do.
        image_dir: Folder of the photos.
        schema: The keypoints that will be predicted.
        min_score: Boxes with a lower score are left out; published results keep all of them.
        dataset: Name of the dataset; the schema's if None.

    Returns:
        The common columns, with no keypoint labeled, and `box_score`, the detector's confidence.

    Raises:
        ValueError: As [`read_coco`]; also when a result lacks a field or is of an unknown image.
    """
    path, described = Path(results_file), Path(annotation_file)
    content = read_slim_json(described)
    if isinstance(content, dict):
        content = {"annotations": [], **content}
    file = parse_coco(content, described, schema=schema)
    results = _results(path)
    for result in results:
        file.photo_of(result, "result", path)
    chosen = _chosen(results, file, min_score, path)
    columns, files = _columns(chosen, file, Path(image_dir))
    columns["keypoints"] = np.zeros((len(chosen), schema.num_keypoints, 3))
    columns["box_score"] = np.array([result["score"] for result in chosen], dtype=np.float64)
    return people_table(
        columns,
        files,
        schema=schema,
        dataset=dataset or schema.name,
        source=path,
        place_of=places_of("result", [result["id"] for result in chosen], path),
        min_keypoints=0,
        everyone=False,
    )


def _results(path: Path) -> list[Item]:
    """Read the results of a file, and check their fields and scores; their ids are their positions."""
    results = read_json(path)
    if not isinstance(results, list):
        raise ValueError(f"{path} is not a COCO results file: expected a list, got {type(results).__name__}.")
    numbered = [{**result, "id": n} if isinstance(result, dict) else result for n, result in enumerate(results)]
    by_id(numbered, "result", ("image_id", "category_id", "bbox", "score"), path)
    for result in numbered:
        if not isinstance(result["score"], (int, float)) or not np.isfinite(result["score"]):
            place = (str(path), f"result {result['id']}")
            raise PlacedError(f"expected a finite number for the score, got {result['score']!r}.", place)
    return numbered


def _chosen(results: list[Item], file: CocoFile, min_score: float, path: Path) -> list[Item]:
    categories = set(file.categories) or {PERSON_CATEGORY}
    of_category = [result for result in results if result["category_id"] in categories]
    chosen = [result for result in of_category if result["score"] >= min_score]
    logger.info(
        "%s: %d boxes; left out %d of other categories and %d below the score %g.",
        *(path, len(chosen), len(results) - len(of_category), len(of_category) - len(chosen), min_score),
    )
    if not chosen:
        raise ValueError(
            f"{path} has no box of the categories {sorted(categories)} with a score of at least {min_score}: it has "
            f"{len(results)} others. Lower min_score or choose another file."
        )
    return chosen
