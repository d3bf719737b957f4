"""COCO's results, as evaluations read them, and COCO's annotations, as annotation tools and trainings do."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from vitpose.modeling.keypoint_schemas import KeypointSchema
from vitpose.processing.people_forms_vitpose import PERSON_CATEGORY
from vitpose.processing.people_vitpose import People

from .base import Numbers, Photo, Source, Write, json_list, text_file


@contextmanager
def coco_results(out: Path, _: Source) -> Iterator[Write]:
    """`predictions.json`: a list with an entry a person."""
    with text_file(out / "predictions.json") as file:
        with json_list(file) as add:

            def write(photo: Photo, people: People) -> None:
                for result in people.to_coco(photo.number):
                    add(json.dumps({"image_id": photo.number, "file_name": photo.name, **result}))

            yield write
        file.write("\n")


@contextmanager
def coco_annotations(out: Path, source: Source) -> Iterator[Write]:
    """`annotations.json`: images, annotations and categories.

    Images have the numbers that `predictions.json` has. Those of annotations start at 1, as COCO's evaluation takes 0
    for none.
    """
    categories, count = Numbers(first=PERSON_CATEGORY), 0
    with text_file(out / "annotations.json") as file, TemporaryFile("w+", encoding="utf-8") as images:
        with json_list(images) as add_image:
            file.write('{"annotations": ')
            with json_list(file) as add:

                def write(photo: Photo, people: People) -> None:
                    nonlocal count
                    size = {"width": photo.width, "height": photo.height}
                    add_image(json.dumps({"id": photo.number, "file_name": photo.name, **size}))
                    own = [categories(label) for label in people.labels]
                    entries = people.to_coco_annotations(photo.number, first_id=count + 1, category_ids=own)
                    for entry in entries:
                        add(json.dumps(entry))
                    count += len(entries)

                yield write
        file.write(',\n"images": ')
        images.seek(0)
        shutil.copyfileobj(images, file)
        file.write(f',\n"categories": {json.dumps(_categories(categories, source.schema))}}}\n')


def _categories(numbers: Numbers, schema: KeypointSchema) -> list[dict[str, Any]]:
    """COCO's categories, each with the keypoints; the skeleton counts them from 1."""
    keypoints = {"keypoints": list(schema.keypoints), "skeleton": [[a + 1, b + 1] for a, b in schema.edges]}
    if not numbers.names:
        numbers(schema.category)
    return [{"id": number, "name": name, "supercategory": name, **keypoints} for name, number in numbers.names.items()]
