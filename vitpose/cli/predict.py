"""`vitpose predict`: the keypoints of people in photos, videos, cameras and streams."""

from __future__ import annotations

import argparse
import hashlib
import logging
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vitpose.photos.journal import Journal
    from vitpose.photos.predicting import Wanted
    from vitpose.photos.sources import Sources, VideoSource
    from vitpose.processing.keypoint_detection_pipeline import KeypointDetectionPipeline
    from vitpose.processing.prediction_vitpose import PosePredictor
    from vitpose.video.frames import FindPeople
    from vitpose.video.people import VideoPredictor

logger = logging.getLogger("vitpose.predict")

PICTURES = "pictures"
# What --save takes: the pictures, and the forms of vitpose.forms, which may not be imported before a command runs.
SAVED = {
    PICTURES: "NAME_pose.png, or NAME_pose.mp4 of a video",
    "json": "predictions.json, COCO's results",
    "coco-annotations": "annotations.json, for CVAT and others",
    "label-studio": "label_studio.json and .xml",
    "yolo": "yolo/, for YOLO-pose",
    "openpose": "openpose/, a JSON each",
    "deeplabcut": "deeplabcut.csv",
    "csv": "predictions.csv, a row a keypoint",
    "parquet": "predictions.parquet, the same",
}
TRACKERS = ("bytetrack", "ocsort", "botsort")  # as vitpose.video.tracking has them
WEAK_MODEL = "tiny"  # of the package: works offline, and therefore without a detector unless one is named


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "sources",
        nargs="+",
        metavar="SOURCE",
        help="photos, folders, videos, http(s) or rtsp addresses, numbers of cameras",
    )
    parser.add_argument("--recursive", action="store_true", help="look into folders of folders too")
    _add_model(parser)
    _add_people(parser)
    _add_video(parser)
    parser.add_argument("--out", type=Path, default=Path("predictions"), help="folder to write into")
    parser.add_argument(
        "--save",
        nargs="+",
        type=_saved,
        default=[[PICTURES, "json"]],
        metavar="FORM",
        help="what to write, by default pictures and json: " + "; ".join(f"{name} ({SAVED[name]})" for name in SAVED),
    )
    parser.add_argument("--resume", action="store_true", help="go on with a run of photos that was ended")
    parser.add_argument("--skip-bad", action="store_true", help="end with status 0 although photos cannot be read")
    parser.add_argument("--threshold", type=float, metavar="SCORE", help="keypoints below it are not drawn")
    parser.add_argument(
        "--style",
        choices=["overlay", "openpose"],
        default="overlay",
        help="draw over the photo, or as ControlNet takes it",
    )
    parser.add_argument(
        "--pick", type=int, metavar="N", help="write only the N photos to annotate first, where the model is least sure"
    )


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model",
        default="base",
        help="small, base, large or huge, fetched once; a folder or Hub id; 'tiny' is the one inside the package",
    )
    parser.add_argument(
        "--dataset",
        type=lambda name: int(name) if name.isdecimal() else name,
        metavar="NAME",
        help="whose keypoints to find, where a model has several",
    )
    parser.add_argument("--device", help="cpu, cuda, cuda:1, mps and so on; by default an accelerator if there is one")
    parser.add_argument(
        "--dtype", choices=["float32", "float16", "bfloat16"], help="by default half precision on an accelerator"
    )
    parser.add_argument("--batch-size", type=int, metavar="N", help="people in one forward pass, 32 by default")
    parser.add_argument("--flip-test", action="store_true", help="look at the mirrored photo too: slower, a bit better")


def _add_people(parser: argparse.ArgumentParser) -> None:
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--detector", help="what finds the people: accurate (by default) or light, fetched once; a folder or Hub id"
    )
    where.add_argument(
        "--boxes", type=Path, help='JSON list of {"file_name" or "frame", "bbox": [x, y, width, height]}'
    )
    where.add_argument("--whole-image", action="store_true", help="one person fills each image")
    parser.add_argument("--detector-threshold", type=float, default=0.3, help="least score of a detected person")
    parser.add_argument(
        "--detector-labels", nargs="+", default=["person"], metavar="NAME", help="what counts in the detector's words"
    )


def _add_video(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--detect-every", type=int, metavar="N", help="detect people in every N-th frame of a video")
    parser.add_argument("--tracker", choices=TRACKERS, help="what recognizes people in a video, bytetrack by default")
    parser.add_argument("--smooth", action="store_true", help="smooth the keypoints of a video over time")


def _saved(word: str) -> list[str]:
    """The forms in a word, between commas."""
    names = [name for name in word.split(",") if name]
    for name in names:
        if name not in SAVED:
            raise argparse.ArgumentTypeError(f"expected one of {', '.join(SAVED)}, got {name!r}")
    return names


def run(chosen: argparse.Namespace) -> int:
    """Predict everything that was given; 1 where some of it could not be read, unless that is no matter."""
    from vitpose.photos.predicting import check_folder
    from vitpose.photos.sources import find_sources

    chosen.saved = [name for names in chosen.save for name in names]
    if chosen.model == WEAK_MODEL and not (chosen.detector or chosen.boxes or chosen.whole_image):
        logger.info(
            "--model tiny has seen drawn people only; one person fills each photo. Name a --detector to find people."
        )
        chosen.whole_image = True
    elif not (chosen.boxes or chosen.whole_image):
        chosen.detector = chosen.detector or "accurate"
    sources = find_sources(chosen.sources, recursive=chosen.recursive, out=chosen.out)
    check_folder(chosen.out)
    _check_options(chosen, sources)
    load = cache(lambda: _load(chosen))
    num_failed = 0
    if sources.photos:
        num_failed += _predict_photos(chosen, sources, load)
    for video in sources.videos:
        num_failed += _predict_video(chosen, video, load, is_alone=len(sources.videos) == 1 and not sources.photos)
    return 1 if num_failed and not chosen.skip_bad else 0


def _check_options(chosen: argparse.Namespace, sources: Sources) -> None:
    """Raise a ValueError for options that do not go with the sources or with each other."""
    from vitpose.forms import FORMS_OF_PHOTOS

    if chosen.threshold is not None and not 0 <= chosen.threshold <= 1:
        raise ValueError(f"threshold: expected a score from 0 to 1, got {chosen.threshold:g}.")
    if chosen.resume and not sources.photos:
        raise ValueError("--resume is for photos: a video is predicted from its beginning. Leave it out.")
    if sources.videos and chosen.pick is not None:
        raise ValueError("--pick is for photos; leave it out for a video.")
    if not sources.videos and (chosen.smooth or chosen.tracker or chosen.detect_every is not None):
        raise ValueError("--smooth, --tracker and --detect-every are for videos; leave them out for photos.")
    of_photos = [name for name in chosen.saved if name in FORMS_OF_PHOTOS]
    if sources.videos and of_photos:
        raise ValueError(
            f"--save: {of_photos[0]!r} is one of photos: save the frames as pictures first, such as with ffmpeg -i "
            "VIDEO %06d.jpg."
        )
    if chosen.detect_every is not None and chosen.detector is None:
        raise ValueError("--detect-every is for --detector: with --boxes or --whole-image, leave it out.")
    if chosen.boxes is not None and sources.videos and len(sources.videos) + len(sources.photos) > 1:
        raise ValueError("--boxes are those of photos or of one video: give each video a call of its own.")


def _load(chosen: argparse.Namespace) -> KeypointDetectionPipeline:
    """The model, and the detector where there is one."""
    from vitpose.estimator import load_pipeline

    return load_pipeline(
        chosen.model,
        detector=chosen.detector,
        dataset=chosen.dataset,
        device=chosen.device,
        dtype=chosen.dtype,
        flip_test=chosen.flip_test,
        detector_threshold=chosen.detector_threshold,
        detector_labels=chosen.detector_labels,
        **({} if chosen.batch_size is None else {"batch_size": chosen.batch_size}),
    )


def _predict_photos(chosen: argparse.Namespace, sources: Sources, load: Callable[[], KeypointDetectionPipeline]) -> int:
    """Predict the photos; returns how many could not be read."""
    from vitpose.photos.boxes import read_photo_boxes
    from vitpose.photos.journal import Journal
    from vitpose.photos.predicting import check_photos, predict_photos

    wanted = _wanted(chosen)
    check_photos(sources, chosen.out, wanted)
    boxes = None if chosen.boxes is None else read_photo_boxes(chosen.boxes, sources.photos)
    journal: Journal = Journal(chosen.out, _settings(chosen, sources), resume=chosen.resume)
    return predict_photos(load(), sources, journal, wanted, boxes=boxes)


def _wanted(chosen: argparse.Namespace) -> Wanted:
    from vitpose.photos.predicting import Wanted
    from vitpose.processing.people_forms_vitpose import CONFIDENCE_THRESHOLD

    return Wanted(
        forms=[name for name in chosen.saved if name != PICTURES],
        style=chosen.style if PICTURES in chosen.saved else None,
        min_score=CONFIDENCE_THRESHOLD if chosen.threshold is None else chosen.threshold,
        pick=chosen.pick,
        model_name=Path(chosen.model).name,  # of a repository on the Hub without its owner
    )


def _settings(chosen: argparse.Namespace, sources: Sources) -> dict[str, Any]:
    """What must be the same for a run that goes on."""
    boxes = None if chosen.boxes is None else hashlib.sha256(chosen.boxes.read_bytes()).hexdigest()
    names = {name: getattr(chosen, name) for name in ("model", "detector")}
    # no pictures are asked for: whether there were some before is no matter
    pictures = {"pictures": chosen.style, "threshold": chosen.threshold} if PICTURES in chosen.saved else {}
    return {
        **{key: str(Path(name).absolute()) if name and Path(name).exists() else name for key, name in names.items()},
        **{name: getattr(chosen, name) for name in ("dataset", "dtype", "whole_image")},
        **{name: getattr(chosen, name) for name in ("detector_threshold", "detector_labels")},
        "flip_test": chosen.flip_test or chosen.pick is not None,
        "boxes": boxes,
        "folder": None if sources.folder is None else str(sources.folder),
        **(pictures if chosen.pick is None else {}),
    }


def _predict_video(
    chosen: argparse.Namespace,
    video: VideoSource,
    load: Callable[[], KeypointDetectionPipeline],
    *,
    is_alone: bool,
) -> int:
    """Predict a video; returns 1 where it could not be read, and others are there that may be."""
    from vitpose.photos.journal import give_way
    from vitpose.video.files import predict_video
    from vitpose.video.finding import BoxesFile

    out = chosen.out if is_alone else chosen.out / video.stem
    give_way(out)
    find_people = _find_people(chosen, load)
    try:
        predict_video(
            _video_predictor(chosen, load().predictor(), find_people),
            video.place,
            out,
            formats=[name for name in chosen.saved if name not in (PICTURES, "json")],  # the lines stand for the latter
            style=chosen.style,
            min_score=_wanted(chosen).min_score,
            draw=PICTURES in chosen.saved,
        )
    except (ValueError, OSError, ImportError) as error:  # the last where the extra for videos is not installed
        if is_alone:
            raise
        logger.warning("%s: %s", video.place, error)
        return 1
    if isinstance(find_people, BoxesFile) and find_people.left:
        rest = (chosen.boxes, len(find_people.left), max(find_people.left))
        logger.warning("%s has boxes of %d frames, up to number %d, which the video does not have.", *rest)
    return 0


def _find_people(chosen: argparse.Namespace, load: Callable[[], KeypointDetectionPipeline]) -> FindPeople:
    """What finds people in frames; a file of boxes is read before the model is loaded."""
    from vitpose.video.detector import people_finder
    from vitpose.video.finding import BoxesFile

    if chosen.boxes is not None:
        return BoxesFile(chosen.boxes)
    return people_finder(
        load().options().detector,
        threshold=chosen.detector_threshold,
        labels=chosen.detector_labels,
        category=load().predictor().schema.category,
    )


def _video_predictor(chosen: argparse.Namespace, predictor: PosePredictor, find_people: FindPeople) -> VideoPredictor:
    from vitpose.video.people import VideoPredictor

    return VideoPredictor(
        predictor=predictor,
        find_people=find_people,
        min_score=chosen.detector_threshold,
        detect_every=1 if chosen.detect_every is None else chosen.detect_every,
        tracker=chosen.tracker or "bytetrack",
        smooth=chosen.smooth,
    )
