"""Photos in, people out: what `vitpose predict` does with photos."""

import json
import logging
import re
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
from PIL import Image
from tqdm.auto import tqdm
from transformers import pipeline

from vitpose.processing.drawing import draw_poses
from vitpose.processing.images_vitpose import to_rgb_photo
from vitpose.processing.keypoint_detection_pipeline import KeypointDetectionPipeline
from vitpose.processing.people_vitpose import PERSON_CATEGORY

from ..base.bundled import resolve_model
from ..base.files import read_json, whole_file

logger = logging.getLogger(__name__)


_INPUT = re.compile(r"^inputs\[(\d+)\]")  # how the pipeline calls an image

Boxes = list[list[float]]


def load_pipeline(name: str, *, dataset: str | None = None, **settings: Any) -> KeypointDetectionPipeline:
    """The pipeline of a folder, a Hub id, or the checkpoint inside the package by the name `tiny`.

    Args:
        name: What to load.
        dataset: Name or number of the dataset whose keypoints to predict; needed where the model has several.
        settings: Of [`KeypointDetectionPipeline`].
    """
    chosen = None if dataset is None else name_or_number(dataset)
    # named, because a repository may bring a copy of this class, which transformers would ask to trust
    settings |= {"pipeline_class": KeypointDetectionPipeline}
    make = cast(Any, pipeline)  # transformers' types know its own tasks alone
    return make("keypoint-detection", model=resolve_model(name), dataset=chosen, **settings)


def name_or_number(dataset: str) -> str | int:
    """A dataset as the pipeline takes it, which may have been typed as its number."""
    return int(dataset) if dataset.isdecimal() else dataset


class Predictor:
    """The keypoints of people in given boxes of one image, as tensors; for videos, frame by frame."""

    def __init__(self, pipe: KeypointDetectionPipeline) -> None:
        self._pipe = pipe
        self.schema = pipe.schema

    @classmethod
    def from_pretrained(cls, name: str, *, dataset: str | None = None) -> "Predictor":
        """As [`load_pipeline`]."""
        return cls(load_pipeline(name, dataset=dataset))

    def __call__(self, image: Image.Image, boxes: Boxes) -> list[dict[str, torch.Tensor]]:
        """One dict a box: keypoints (K, 2) and scores (K,), in image pixels."""
        return self._pipe.find_people(image, boxes=boxes).to_tensors()


@contextmanager
def open_image_file(path: Path) -> Iterator[Image.Image]:
    """A photo of which no more is read than asked for; what is wrong with it is told with its path."""
    if not path.is_file():
        raise FileNotFoundError(f"There is no image {path}.")
    try:
        with Image.open(path) as image:
            yield image
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path} cannot be read as an image: {str(error).rstrip('.')}.") from error


def read_boxes(path: Path, images: Sequence[Path]) -> list[Boxes]:
    """Boxes of each image from a JSON file: a list of `{"file_name": ..., "bbox": [x, y, width, height]}`.

    Entries of files that are not among the images are left out, with a warning.

    Raises:
        ValueError: The file is something else, or an image has no entry; the message names it.
    """
    content = read_json(path)
    entries = content if isinstance(content, list) else [None]
    if not all(isinstance(entry, dict) and {"file_name", "bbox"} <= entry.keys() for entry in entries):
        raise ValueError(f'{path}: expected a list of {{"file_name": ..., "bbox": [x, y, width, height]}}.')
    boxes = [[entry["bbox"] for entry in content if entry["file_name"] == image.name] for image in images]
    missing = [image.name for image, found in zip(images, boxes, strict=True) if not found]
    if missing:
        raise ValueError(f"{path} has no box for {', '.join(missing)}. Add one, or leave these images out.")
    others = {str(entry["file_name"]) for entry in content} - {image.name for image in images}
    if others:
        logger.warning(
            "%s has boxes of files that are not among the images (%d), such as %s.", path, len(others), min(others)
        )
    return boxes


def predict_files(
    pipe: KeypointDetectionPipeline, images: Sequence[Path], out: Path, *, boxes: Sequence[Boxes] | None = None
) -> Path:
    """Predict every image, write `predictions.json` and one drawn picture an image into `out`.

    The JSON is COCO's results form, one entry a person: `image_id` (the image's number, from 0), `file_name`,
    `category_id` 1, `bbox` [x, y, width, height], `keypoints` x, y, score a keypoint, `score` of the person.

    Args:
        pipe: Predicts; its detector finds the people where boxes are not given.
        images: Photos, each of another name.
        out: Folder to write into.
        boxes: The people of each image.

    Returns:
        The path of the JSON file.

    Raises:
        FileNotFoundError, ValueError: Something about an image, its boxes or its name. Names, and whether the files are
            images, are looked at before any work; what is found later leaves the images that were done until then.
    """
    _check_names(images, out)
    for path in images:
        with open_image_file(path):
            pass
    out.mkdir(parents=True, exist_ok=True)
    photos, results, num_done = _Photos(images, boxes), list[dict[str, Any]](), 0
    try:
        for image_id, people in enumerate(cast(Iterator[list[dict[str, Any]]], pipe(photos))):
            with whole_file(out / f"{images[image_id].stem}_pose.png") as picture:
                draw_poses(photos.opened.popleft(), people, pipe.schema).save(picture)
            results += [_to_result(image_id, images[image_id], person) for person in people]
            num_done += 1
        if photos.error is not None:
            raise photos.error
    except ValueError as error:
        raise ValueError(_INPUT.sub(lambda found: str(images[int(found[1])]), str(error))) from error
    finally:
        if num_done:
            with whole_file(out / "predictions.json") as file:
                file.write_text(json.dumps(results, indent=1), encoding="utf-8")
            counts = (len(results), num_done, len(images))
            logger.info("%d people in %d of %d images: %s", *counts, out / "predictions.json")
    return out / "predictions.json"


class _Photos:
    """Photos and their boxes as the pipeline asks for them, which reads ahead to fill its batches.

    They end before one that cannot be read, so that those before it are predicted; `error` is what is wrong with it.
    """

    def __init__(self, paths: Sequence[Path], boxes: Sequence[Boxes] | None) -> None:
        self._paths = paths
        self._boxes = boxes
        self.opened: deque[Image.Image] = deque()  # those that are still to be drawn
        self.error: ValueError | OSError | None = None

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for index, path in enumerate(tqdm(self._paths, desc="predict", unit=" images")):
            try:
                with open_image_file(path) as image:
                    self.opened.append(to_rgb_photo(image))
            except (ValueError, OSError) as error:
                self.error = error
                return
            yield {"image": self.opened[-1], "boxes": None if self._boxes is None else self._boxes[index]}


def _to_result(image_id: int, path: Path, person: dict[str, Any]) -> dict[str, Any]:
    left, top, right, bottom = (person["box"][name] for name in ("xmin", "ymin", "xmax", "ymax"))
    rows = [(point["x"], point["y"], point["score"]) for point in person["keypoints"]]
    return {
        "image_id": image_id,
        "file_name": path.name,
        "category_id": PERSON_CATEGORY,
        "bbox": [round(value, 2) for value in (left, top, right - left, bottom - top)],
        "keypoints": [round(value, 4) for row in rows for value in row],
        "score": round(person["score"], 4),
    }


def _check_names(paths: Sequence[Path], out: Path) -> None:
    seen: dict[str, Path] = {}
    photos = {path.resolve() for path in paths}
    for path in paths:
        other = seen.setdefault(path.stem, path)
        if other is not path:
            raise ValueError(f"{other} and {path} would write the same picture, {path.stem}_pose.png: rename one.")
        if (picture := (out / f"{path.stem}_pose.png").resolve()) in photos:
            raise ValueError(f"The drawing of {path} would overwrite the photo {picture}: choose another folder.")
