"""Prediction of photos into the forms that others read and drawn pictures, behind `vitpose predict`.

However many photos there are, no more of them are in memory than threads read and draw; what was found goes into the
journal at once, and from there into the forms when all photos are done.
"""

import csv
import logging
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from tqdm.auto import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from vitpose.processing.drawing import DrawingStyle, paint_people
from vitpose.processing.keypoint_detection_pipeline import KeypointDetectionPipeline
from vitpose.processing.people_forms_vitpose import CONFIDENCE_THRESHOLD
from vitpose.processing.people_vitpose import People
from vitpose.processing.prediction_vitpose import PosePredictor

from ..base.files import whole_folder
from ..forms import FormName, check_forms, open_forms
from ..forms.base import Photo, Source, text_file
from .boxes import Boxes
from .crops import SizedPhoto, cut_photos
from .failures import FAILURES, Failures
from .journal import Journal
from .picking import least_sure
from .reading import Unreadable, UnreadablePhotoError, in_order, read_bytes, read_photo, threads
from .sources import PICTURE_ENDING, PhotoSource, Sources

logger = logging.getLogger(__name__)

DRAWERS = 2  # threads that draw and compress pictures
_COMPRESSION = 1  # of pictures, zlib's level: at a third of the usual time they are a few percent larger


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What to write of photos.

    Args:
        forms: Files for other programs; docs/predictions.md describes them.
        style: How pictures are drawn; None draws none.
        min_score: Keypoints that score below it are not drawn.
        pick: Write no more than so many photos, those first whose keypoints the model is least sure of; copies of them
            go into `picked/`, and `picked.csv` has the figures. The flip test is on then.
        model_name: What forms call the model.
    """

    forms: Sequence[FormName] = ("json",)
    style: DrawingStyle | None = "overlay"
    min_score: float = CONFIDENCE_THRESHOLD
    pick: int | None = None
    model_name: str = "vitpose"


def check_folder(out: Path) -> None:
    """Raise an OSError where nothing can be written into a folder, which need not be there yet; leaves no trace."""
    place = out
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir():
        raise NotADirectoryError(f"out: expected a folder to write into, got {out}, where {place} is a file.")
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        raise type(error)(f"out: {out} cannot be written into: {error.strerror}. Choose another folder.") from error


def check_photos(sources: Sources, out: Path, wanted: Wanted) -> None:
    """Raise an error where photos cannot be written as wanted: before a model is loaded, which may take long."""
    if wanted.pick is not None:
        if wanted.pick < 1:
            raise ValueError(f"pick: expected the number of photos to pick, 1 or more, got {wanted.pick}.")
        if (out / "picked").exists() and any((out / "picked").iterdir()):
            raise FileExistsError(f"{out / 'picked'} exists already: choose another folder, or delete it.")
    if "yolo" in wanted.forms:
        twins = [photo for photo in sources.photos if photo.stem == photo.name and Path(photo.name).suffix]
        if twins:
            raise ValueError(
                f"save: YOLO has one file of labels for photos that differ in their endings alone, such as "
                f"{twins[0].name}: rename them, or leave yolo out."
            )
    if wanted.style is None:
        return
    real = cache(os.path.realpath)  # asked once a folder
    files = {(real(photo.place.parent), photo.place.name) for photo in sources.photos if isinstance(photo.place, Path)}
    for photo in sources.photos:
        picture = out / f"{photo.stem}{PICTURE_ENDING}"
        if (real(picture.parent), picture.name) in files:
            raise ValueError(f"The drawing of {photo.place} would overwrite the photo {picture}: choose another --out.")


def predict_photos(
    pipe: KeypointDetectionPipeline,
    sources: Sources,
    journal: Journal,
    wanted: Wanted,
    *,
    boxes: Mapping[str, Boxes] | None = None,
) -> int:
    """Predict every photo that the journal lacks, and write what is wanted into the journal's folder.

    `image_id` is a photo's number among all that were given, from 0, wherever a form has one.

    Args:
        pipe: Predicts; its detector finds the people where boxes are not given.
        sources: Which photos.
        journal: Of the run, not open yet.
        wanted: What to write.
        boxes: The people of each photo, by its name.

    Returns:
        How many photos have no predictions, as they could not be read or their boxes lie outside; they are in
        `failed.csv`.

    Raises:
        ValueError: The journal has photos that are not among these, or a form cannot hold the keypoints.
        KeyboardInterrupt: Ctrl-C; the message says how to go on.
    """
    out, predictor = journal.path.parent, pipe.predictor(flip_test=True if wanted.pick is not None else None)
    check_forms(["openpose"] if wanted.style == "openpose" else [], predictor.schema)
    check_forms(wanted.forms, predictor.schema)
    strangers = journal.places.keys() - {photo.name for photo in sources.photos}
    if strangers:
        raise ValueError(
            f"{journal.path} has {len(strangers)} photos that are not among those given, such as {min(strangers)}. "
            "Give the same sources, or choose another folder."
        )
    with _told_where_it_stopped(journal, sources), ExitStack() as stack:
        with journal:
            failures = stack.enter_context(Failures(out))  # whose file may be another run's until the journal is ours
            _predict_rest(pipe, predictor, sources.photos, journal, wanted, boxes, failures)
        num_people, num_photos = _write_forms(sources, journal, predictor, wanted, failures)
    facts = {"photos": len(sources.photos), "failed": failures.count, "keypoints": list(predictor.schema.keypoints)}
    journal.tell(finished=True, **facts)
    people = "1 person" if num_people == 1 else f"{num_people} people"
    logger.info("%s in %d of %d photos: %s", people, num_photos, len(sources.photos), out)
    if failures.count:
        logger.warning("%d of %d photos failed: %s", failures.count, len(sources.photos), out / FAILURES)
    return failures.count


@contextmanager
def _told_where_it_stopped(journal: Journal, sources: Sources) -> Iterator[None]:
    """Say how to go on with a run that ends before its end."""
    try:
        yield
    except BaseException as error:
        done = f"{len(journal.places)} of {len(sources.photos)} photos are in {journal.path.parent}"
        hint = f"{done}: the same command with --resume goes on."
        if isinstance(error, KeyboardInterrupt):
            raise KeyboardInterrupt(f"Interrupted. {hint}") from error
        if journal.places:
            logger.warning("%s", hint)
        raise


def _predict_rest(
    pipe: KeypointDetectionPipeline,
    predictor: PosePredictor,
    photos: Sequence[PhotoSource],
    journal: Journal,
    wanted: Wanted,
    boxes: Mapping[str, Boxes] | None,
    failures: Failures,
) -> None:
    """Predict and draw the photos that have no line yet, and add their lines."""
    rest = [photo for photo in photos if photo.name not in journal.places]
    style = wanted.style if wanted.pick is None else None  # who is picked is known at the end

    def draw(item: tuple[SizedPhoto, People]) -> tuple[tuple[SizedPhoto, People], Unreadable | None]:
        (source, *_), people = item
        return item, None if style is None else _draw(source, people, journal.path.parent, style, wanted.min_score)

    done = len(photos) - len(rest)
    with (
        logging_redirect_tqdm(),
        tqdm(total=len(photos), initial=done, desc="predict", unit=" photos", mininterval=_between_looks()) as progress,
        threads(DRAWERS) as executor,
    ):

        def report(failure: Unreadable) -> None:
            failures.add(failure)
            progress.update()

        crops = cut_photos(pipe, predictor, rest, boxes=boxes, report=report)
        found = predictor.stream(crops, batch_size=pipe.options().batch_size)
        for ((source, width, height), people), failure in in_order(executor, draw, found, ahead=DRAWERS):
            if failure is None:
                journal.add(source.name, width, height, people)
                progress.update()
            else:
                report(failure)


def _between_looks() -> float:
    """Seconds between two updates of the progress: a log would grow by a line with each."""
    return 0.1 if sys.stderr.isatty() else 10.0


def _draw(source: PhotoSource, people: People, out: Path, style: DrawingStyle, min_score: float) -> Unreadable | None:
    """Draw a photo, which is read again, so that those that wait for a batch need no memory."""
    try:
        canvas = read_photo(source.place)
    except UnreadablePhotoError as error:
        return Unreadable(source=source, reason=str(error))
    paint_people(canvas, people, style=style, min_score=min_score)
    picture = out / f"{source.stem}{PICTURE_ENDING}"
    picture.parent.mkdir(parents=True, exist_ok=True)
    # of the same name in every run, which thus takes the place of what a kill left
    partial = picture.with_name(f".{source.stem.rpartition('/')[2]}.partial{picture.suffix}")
    canvas.save(partial, compress_level=_COMPRESSION)
    os.replace(partial, picture)
    return None


def _write_forms(
    sources: Sources, journal: Journal, predictor: PosePredictor, wanted: Wanted, failures: Failures
) -> tuple[int, int]:
    """Write all forms from the journal; returns how many people and how many photos that were."""
    found: Iterator[tuple[Photo, People]] = (
        (Photo(number=number, name=own.name, stem=own.stem, width=size[0], height=size[1], place=own.place), people)
        for number, own, size, people in journal.read(sources.photos, predictor.schema)
    )
    out, folder = journal.path.parent, sources.folder or Path()
    num_people = num_photos = 0
    with ExitStack() as stack:
        if wanted.pick is not None:
            folder = out / "picked"  # where the photos are, for who corrects them
            found = _picked(found, out, stack.enter_context(whole_folder(folder)), wanted, failures)
        source = Source(schema=predictor.schema, model=wanted.model_name, folder=folder)
        write = stack.enter_context(open_forms(wanted.forms, out, source))
        for photo, people in found:
            write(photo, people)
            num_people, num_photos = num_people + len(people), num_photos + 1
    return num_people, num_photos


def _picked(
    found: Iterator[tuple[Photo, People]], out: Path, folder: Path, wanted: Wanted, failures: Failures
) -> Iterator[tuple[Photo, People]]:
    """The photos whose people the model is least sure of, copied into the folder, which is `picked` of `out` later."""
    assert wanted.pick is not None
    ranked, num_empty = least_sure(found, wanted.pick)
    if num_empty:
        logger.warning("%d photos without people cannot be ranked, and are not picked.", num_empty)
    with text_file(out / "picked.csv") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["image", "uncertainty"])
        for pick in ranked:
            assert pick.photo.place is not None
            source = PhotoSource(place=pick.photo.place, name=pick.photo.name, stem=pick.photo.stem)
            failure = None if wanted.style is None else _draw(source, pick.people, out, wanted.style, wanted.min_score)
            try:
                content = read_bytes(source.place)
            except UnreadablePhotoError as error:
                failure = Unreadable(source=source, reason=str(error))
            if failure is not None:
                failures.add(failure)
                continue
            (folder / source.name).parent.mkdir(parents=True, exist_ok=True)
            (folder / source.name).write_bytes(content)
            table.writerow([source.name, round(pick.uncertainty, 4)])
            yield replace(pick.photo, place=out / "picked" / source.name), pick.people
