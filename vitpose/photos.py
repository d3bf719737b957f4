"""Prediction of photos into COCO results and drawn pictures, behind `vitpose predict`."""

import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from PIL import Image
from tqdm.auto import tqdm

from vitpose.processing.drawing import paint_people
from vitpose.processing.images_vitpose import LoadedImage, to_rgb_photo, to_rgb_tensor
from vitpose.processing.keypoint_detection_pipeline import KeypointDetectionPipeline
from vitpose.processing.people_vitpose import Detections, People
from vitpose.processing.prediction_vitpose import Crops

from .base.errors import placed
from .base.files import read_boxes, whole_file

logger = logging.getLogger(__name__)

Boxes = list[Any]  # of one image, as they are in a file: rows [x, y, width, height]


@contextmanager
def open_image_file(path: Path) -> Iterator[Image.Image]:
    """Open lazily; errors name the path."""
    if not path.is_file():
        raise FileNotFoundError(f"There is no image {path}.")
    try:
        with Image.open(path) as image:
            yield image
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path} cannot be read as an image: {str(error).rstrip('.')}.") from error


def read_image_boxes(path: Path, images: Sequence[Path]) -> list[Boxes]:
    """Read boxes of each image from a JSON file: a list of `{"file_name": ..., "bbox": [x, y, width, height]}`.

    Entries of files that are not among the images are left out, with a warning.

    Raises:
        ValueError: The file is something else, or an image has no entry; the message names it.
    """
    boxes, names = read_boxes(path, "file_name"), [image.name for image in images]
    missing = [name for name in names if name not in boxes]
    if missing:
        raise ValueError(f"{path} has no box for {', '.join(missing)}. Add one, or leave these images out.")
    others = sorted(map(str, boxes.keys() - set(names)))
    if others:
        logger.warning(
            "%s has boxes of files that are not among the images (%d), such as %s.", path, len(others), others[0]
        )
    return [boxes[name] for name in names]


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
    stopped: BaseException | None = None
    out.mkdir(parents=True, exist_ok=True)
    with whole_file(out / "predictions.json") as whole, whole.open("w", encoding="utf-8") as file:
        results = _Results(file, out, images)
        try:
            photos = _cut_photos(pipe, images, boxes)
            for (image_id, photo), people in pipe.predictor().stream(photos, batch_size=pipe.options().batch_size):
                results.write(image_id, photo, people)
        except (ValueError, OSError, KeyboardInterrupt) as error:
            if not results.num_images:
                raise
            stopped = error
        results.close()
    logger.info("%s: %s", results, out / "predictions.json")
    if stopped is not None:
        raise stopped
    return out / "predictions.json"


def _cut_photos(
    pipe: KeypointDetectionPipeline, images: Sequence[Path], boxes: Sequence[Boxes] | None
) -> Iterator[tuple[tuple[int, Image.Image], Crops, Detections]]:
    """The number and the picture of each photo, the crops of its people and what they are of; errors name the path."""
    options, predictor = pipe.options(), pipe.predictor()
    for number, path in enumerate(tqdm(images, desc="predict", unit=" images")):
        with open_image_file(path) as image:
            photo = to_rgb_photo(image)
        try:
            pixels = to_rgb_tensor(photo, do_rescale=predictor.settings.do_rescale)
            own = LoadedImage(number=number, pixels=pixels, boxes=None if boxes is None else boxes[number])
            crops, found = pipe.preprocess(own, predictor=predictor, options=options)
        except (TypeError, ValueError) as error:
            raise placed(error, str(path)) from error
        yield (number, photo), crops, found


class _Results:
    """Writes the people of photo after photo into a JSON list and into a picture, and counts."""

    def __init__(self, file: TextIO, out: Path, images: Sequence[Path]) -> None:
        self._file = file
        self._out = out
        self._images = images
        self._num_people = 0
        self.num_images = 0

    def __str__(self) -> str:
        return f"{self._num_people} people in {self.num_images} of {len(self._images)} images"

    def write(self, image_id: int, photo: Image.Image, people: People) -> None:
        """Add the people of a photo, and draw them into it."""
        path = self._images[image_id]
        for result in people.to_coco(image_id):
            entry = {"image_id": image_id, "file_name": path.name, **result}
            self._file.write(("[\n " if self._num_people == 0 else ",\n ") + json.dumps(entry))
            self._num_people += 1
        paint_people(photo, people)
        with whole_file(self._out / f"{path.stem}_pose.png") as picture:
            photo.save(picture)
        self.num_images += 1

    def close(self) -> None:
        """End the JSON list."""
        self._file.write("\n]\n" if self._num_people else "[]\n")


def _check_names(paths: Sequence[Path], out: Path) -> None:
    seen: dict[str, Path] = {}
    photos = {path.resolve() for path in paths}
    for path in paths:
        other = seen.setdefault(path.stem, path)
        if other is not path:
            raise ValueError(f"{other} and {path} would write the same picture, {path.stem}_pose.png: rename one.")
        if (picture := (out / f"{path.stem}_pose.png").resolve()) in photos:
            raise ValueError(f"The drawing of {path} would overwrite the photo {picture}: choose another folder.")
