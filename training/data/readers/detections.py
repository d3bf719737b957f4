"""Boxes of a person detector, from a file of COCO results."""

import logging
import os
from pathlib import Path

import numpy as np
from datasets import Dataset

from vitpose.base.errors import Place, PlacedError
from vitpose.base.files import read_json
from vitpose.modeling.keypoint_schemas import KeypointSchema
from vitpose.processing.people_forms_vitpose import PERSON_CATEGORY

from ..coco_categories import keypoint_names
from ..columns import number_table, people_table
from .coco import coco_columns, read_slim_json
from .coco_entries import CocoFile, Item, by_id, parse_coco

logger = logging.getLogger(__name__)


def read_detections(
    results_file: str | os.PathLike[str],
    annotation_file: str | os.PathLike[str],
    image_dir: str | os.PathLike[str],
    *,
    schema: KeypointSchema,
    min_score: float = 0.0,
    dataset: str | None = None,
    category: str | None = None,
) -> Dataset:
    """Read a detector's boxes, to evaluate on them instead of the annotated ones.

    Boxes below `min_score`, of other categories than the annotation file's (person, where it has none, or none with
    keypoints) and outside their image are left out, with their number in the log.

    Args:
        results_file: JSON list of COCO results with image_id, category_id, bbox and score, such as
            `COCO_val2017_detections_AP_H_56_person.json`, the usual boxes of a person detector of 56 AP.
        annotation_file: The COCO file that describes the images; one without annotations, such as
            `image_info_test-dev2017.json`, will do.
        image_dir: Folder of the photos.
        schema: The keypoints that will be predicted.
        min_score: Boxes with a lower score are left out; published results keep all of them.
        dataset: Name of the dataset; the schema's if None.
        category: As for [`read_coco`].

    Returns:
        The common columns, with no keypoint labeled, and `box_score`, the detector's confidence.

    Raises:
        ValueError: As [`read_coco`]; also when a result lacks a field or is of an unknown image.
    """
    path, described = Path(results_file), Path(annotation_file)
    content = read_slim_json(described)
    if isinstance(content, dict):
        content = {"annotations": [], **content}
    file = parse_coco(content, described, schema=schema, category=category)
    results = _results(path)
    file.photos_of(results, "result", path)
    chosen = _chosen(results, file, min_score, path)

    def place_of(row: int) -> Place:
        return (str(path), f"result {chosen[row]['id']}")

    boxes = number_table([result["bbox"] for result in chosen], 4, "bbox = [x, y, width, height]", place_of)
    unlabeled = np.zeros((len(chosen), schema.num_keypoints, 3))
    columns, files = coco_columns(chosen, file, Path(image_dir), boxes=boxes, keypoints=unlabeled)
    columns["box_score"] = np.array([result["score"] for result in chosen], dtype=np.float64)
    return people_table(
        columns,
        files,
        schema=schema,
        dataset=dataset or schema.name,
        source=path,
        place_of=place_of,
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


def _categories(file: CocoFile) -> set[int]:
    """Whose boxes are meant; the list of COCO's test photos names all 80 things and nobody's keypoints."""
    people = {number for number, entry in file.categories.items() if str(entry.get("name")).lower() == "person"}
    if people and not any(keypoint_names(entry) for entry in file.categories.values()):
        return people
    return set(file.categories) or {PERSON_CATEGORY}


def _chosen(results: list[Item], file: CocoFile, min_score: float, path: Path) -> list[Item]:
    categories = _categories(file)
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
