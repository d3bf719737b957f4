"""Prediction of photos into the forms that others read and drawn pictures, behind `vitpose predict`."""

import csv
import logging
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image
from tqdm.auto import tqdm

from vitpose.processing.drawing import DrawingStyle, paint_people
from vitpose.processing.images_vitpose import LoadedImage, to_rgb_photo, to_rgb_tensor
from vitpose.processing.keypoint_detection_pipeline import KeypointDetectionPipeline
from vitpose.processing.people_vitpose import Detections, People
from vitpose.processing.prediction_vitpose import Crops, PosePredictor

from .base.errors import placed
from .base.files import read_boxes, whole_file, whole_folder
from .forms import FormName, open_forms
from .forms.base import Photo, Source, Write, text_file
from .picking import least_sure

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
    pipe: KeypointDetectionPipeline,
    images: Sequence[Path],
    out: Path,
    *,
    boxes: Sequence[Boxes] | None = None,
    formats: Sequence[FormName] = ("coco",),
    style: DrawingStyle = "overlay",
    pick: int | None = None,
    model_name: str = "vitpose",
) -> None:
    """Predict every image, and write what was found in each of the forms and one drawn picture an image into `out`.

    docs/predictions.md describes the forms. `image_id` is the image's number, from 0, wherever a form has one.

    Args:
        pipe: Predicts; its detector finds the people where boxes are not given.
        images: Photos, each of another name.
        out: Folder to write into.
        boxes: The people of each image.
        formats: The forms.
        style: How pictures are drawn.
        pick: Write no more than so many images, those first whose keypoints the model is least sure of; copies of them
            go into `picked/`, and `picked.csv` has the figures. The flip test is on then.
        model_name: What forms call the model.

    Raises:
        FileExistsError: There are picked images in `out` already.
        FileNotFoundError, ValueError: Something about an image, its boxes or its name, or a form that cannot hold the
            keypoints. Names, forms, and whether the files are images, are looked at before any work; what is found
            later leaves the images that were done until then.
    """
    _check_names(images, out)
    for path in images:
        with open_image_file(path):
            pass
    if pick is not None and pick < 1:
        raise ValueError(f"pick: expected the number of photos to pick, 1 or more, got {pick}.")
    predictor = pipe.predictor(flip_test=True if pick is not None else None)
    if style == "openpose":  # whether it can draw these keypoints
        People.nobody(predictor.schema).to_openpose()
    stopped: list[BaseException] = []
    photos = _cut_photos(pipe, predictor, images, boxes)
    found = _until_error(predictor.stream(photos, batch_size=pipe.options().batch_size), stopped)
    with ExitStack() as stack:
        folder = Path(os.path.commonpath([path.resolve().parent for path in images])) if images else out
        if pick is not None:
            folder = out / "picked"  # where the photos are, for who corrects them
            found = _picked(found, pick, out, stack.enter_context(whole_folder(folder)))
        source = Source(schema=predictor.schema, model=model_name, folder=folder)
        write = stack.enter_context(open_forms(formats, out, source))
        counts = _write_all(found, out, write, style, stopped)
    logger.info("%d people in %d of %d images: %s", *counts, len(images), out)
    if stopped:
        raise stopped[0]


_Found = tuple[tuple[Photo, Image.Image], People]  # a photo, its picture and its people


def _until_error(items: Iterator[_Found], stopped: list[BaseException]) -> Iterator[_Found]:
    """The items; an error after the first one ends them, and is put into the list."""
    count = 0
    try:
        for item in items:
            yield item
            count += 1
    except (ValueError, OSError, KeyboardInterrupt) as error:
        if not count:
            raise
        stopped.append(error)


def _picked(found: Iterable[_Found], count: int, out: Path, folder: Path) -> Iterator[_Found]:
    """The photos whose people the model is least sure of, copied into the folder, which is `picked` of `out` later."""
    ranked, num_empty = least_sure(((photo, people) for (photo, _), people in found), count)
    if num_empty:
        logger.warning("%d images without people cannot be ranked, and are not picked.", num_empty)
    with text_file(out / "picked.csv") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["image", "uncertainty"])
        for pick in ranked:
            path = pick.photo.path
            shutil.copyfile(path, folder / path.name)
            table.writerow([path.name, round(pick.uncertainty, 4)])
    for pick in ranked:
        with open_image_file(pick.photo.path) as image:
            picture = to_rgb_photo(image)
        yield (replace(pick.photo, path=out / "picked" / pick.photo.path.name), picture), pick.people


def _write_all(
    found: Iterable[_Found], out: Path, write: Write, style: DrawingStyle, stopped: list[BaseException]
) -> tuple[int, int]:
    """Write and draw each photo; returns how many people and how many photos that were.

    Ctrl-C after the first photo is put into the list of what stopped the work.
    """
    num_people = num_images = 0
    try:
        for (photo, picture), people in found:
            write(photo, people)
            paint_people(picture, people, style=style)
            with whole_file(out / f"{photo.path.stem}_pose.png") as drawing:
                picture.save(drawing)
            num_people, num_images = num_people + len(people), num_images + 1
    except KeyboardInterrupt as interruption:
        if not num_images:
            raise
        stopped.append(interruption)
    return num_people, num_images


def _cut_photos(
    pipe: KeypointDetectionPipeline, predictor: PosePredictor, images: Sequence[Path], boxes: Sequence[Boxes] | None
) -> Iterator[tuple[tuple[Photo, Image.Image], Crops, Detections]]:
    """Each photo and its picture, the crops of its people and what they are of; errors name the path."""
    options = pipe.options()
    for number, path in enumerate(tqdm(images, desc="predict", unit=" images")):
        with open_image_file(path) as image:
            picture = to_rgb_photo(image)
        try:
            pixels = to_rgb_tensor(picture, do_rescale=predictor.settings.do_rescale)
            own = LoadedImage(number=number, pixels=pixels, boxes=None if boxes is None else boxes[number])
            crops, found = pipe.preprocess(own, predictor=predictor, options=options)
        except (TypeError, ValueError) as error:
            raise placed(error, str(path)) from error
        photo = Photo(number=number, path=path, width=picture.width, height=picture.height)
        yield (photo, picture), crops, found


def _check_names(paths: Sequence[Path], out: Path) -> None:
    seen: dict[str, Path] = {}
    photos = {path.resolve() for path in paths}
    for path in paths:
        other = seen.setdefault(path.stem, path)
        if other is not path:
            raise ValueError(f"{other} and {path} would write the same picture, {path.stem}_pose.png: rename one.")
        if (picture := (out / f"{path.stem}_pose.png").resolve()) in photos:
            raise ValueError(f"The drawing of {path} would overwrite the photo {picture}: choose another folder.")
