"""`vitpose predict`: the keypoints of people in photos, a video or a webcam."""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

logger = logging.getLogger("vitpose.predict")

VIDEO_SUFFIXES = frozenset(
    [".3gp", ".avi", ".flv", ".h264", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg"]
    + [".mts", ".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv"]
)


# As vitpose.forms has them, which may not be imported before a command runs; docs/predictions.md describes them.
FORMATS = {
    "coco": "predictions.json, results (of a video predictions.jsonl)",
    "coco-annotations": "annotations.json, for CVAT and others",
    "label-studio": "label_studio.json and .xml",
    "yolo": "yolo/, for YOLO-pose",
    "openpose": "openpose/, a JSON each",
    "deeplabcut": "deeplabcut.csv",
    "csv": "predictions.csv, a row a keypoint",
    "parquet": "predictions.parquet, the same",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help="photos, one video, or a webcam's number")
    parser.add_argument("--model", default="tiny", help="folder or Hub id; 'tiny' is the one inside the package")
    parser.add_argument(
        "--dataset",
        type=lambda name: int(name) if name.isdecimal() else name,
        metavar="NAME",
        help="whose keypoints to find, where a model has several",
    )
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument(
        "--boxes", type=Path, help='JSON list of {"file_name" or "frame", "bbox": [x, y, width, height]}'
    )
    where.add_argument("--detector", help="object-detection model of transformers that finds the people")
    where.add_argument("--whole-image", action="store_true", help="one person fills each image")
    parser.add_argument("--detector-threshold", type=float, default=0.3, help="least score of a detected person")
    parser.add_argument(
        "--detector-labels", nargs="+", default=["person"], metavar="NAME", help="what counts in the detector's words"
    )
    parser.add_argument("--flip-test", action="store_true", help="look at the mirrored photo too: slower, a bit better")
    parser.add_argument("--detect-every", type=int, metavar="N", help="detect people in every N-th frame of a video")
    parser.add_argument("--smooth", action="store_true", help="smooth the keypoints of a video over time")
    parser.add_argument(
        "--format",
        nargs="+",
        choices=FORMATS,
        default=["coco"],
        metavar="FORM",
        dest="formats",
        help="forms to write: " + "; ".join(f"{name} ({files})" for name, files in FORMATS.items()),
    )
    parser.add_argument(
        "--style",
        choices=["overlay", "openpose"],
        default="overlay",
        help="draw over the photo, or as ControlNet takes it",
    )
    parser.add_argument(
        "--pick", type=int, metavar="N", help="write only the N photos to annotate first, where the model is least sure"
    )
    parser.add_argument("--out", type=Path, default=Path("predictions"), help="folder to write into")


def run(chosen: argparse.Namespace) -> None:
    """Predict photos, or one video."""
    video = video_source(chosen.images)
    if video is not None:
        _predict_video(chosen, video)
    else:
        _predict_photos(chosen)


def video_source(names: Sequence[str | Path]) -> Path | int | None:
    """The video or webcam among the inputs of a command: a path, a webcam's number, or None where all are photos.

    A whole number is a webcam, a name with the ending of a video (`VIDEO_SUFFIXES`) a video, everything else a photo.

    Raises:
        ValueError: There is more than a single video or webcam.
    """
    videos = [str(name) for name in names if str(name).isdecimal() or Path(name).suffix.lower() in VIDEO_SUFFIXES]
    if not videos:
        return None
    if len(names) > 1:
        raise ValueError(
            f"Expected photos, or a single video or webcam, got {', '.join(map(str, names))}: "
            f"give {videos[0]} a call and a folder of its own."
        )
    return int(videos[0]) if videos[0].isdecimal() else Path(videos[0])


def _predict_photos(chosen: argparse.Namespace) -> None:
    from vitpose.base.files import resolve_model
    from vitpose.photos import predict_files, read_image_boxes
    from vitpose.processing.keypoint_detection_pipeline import KeypointDetectionPipeline

    if chosen.smooth or chosen.detect_every is not None:
        raise ValueError("--smooth and --detect-every are for videos; leave them out for photos.")
    boxes = None if chosen.boxes is None else read_image_boxes(chosen.boxes, chosen.images)
    pipe = KeypointDetectionPipeline.from_pretrained(
        resolve_model(chosen.model),
        dataset=chosen.dataset,
        detector=chosen.detector,
        detector_threshold=chosen.detector_threshold,
        detector_labels=chosen.detector_labels,
        flip_test=chosen.flip_test,
    )
    predict_files(
        pipe,
        chosen.images,
        chosen.out,
        boxes=boxes,
        formats=chosen.formats,
        style=chosen.style,
        pick=chosen.pick,
        model_name=Path(chosen.model).name,  # of a repository on the Hub without its owner
    )


def _predict_video(chosen: argparse.Namespace, video: Path | int) -> None:
    from vitpose.base.files import resolve_model
    from vitpose.processing.keypoint_detection_pipeline import KeypointDetectionPipeline
    from vitpose.video.files import predict_video
    from vitpose.video.people import BoxesFile, FindPeople, VideoPredictor, find_whole_image

    if chosen.pick is not None:
        raise ValueError("--pick is for photos; leave it out for a video.")
    if chosen.detect_every is not None and chosen.detector is None:
        raise ValueError("--detect-every is for --detector: with --boxes or --whole-image, leave it out.")
    find_people: FindPeople = find_whole_image
    if chosen.boxes is not None:
        find_people = BoxesFile(chosen.boxes)
    elif chosen.detector is not None:
        from vitpose.video.detector import PeopleDetector

        find_people = PeopleDetector(
            chosen.detector, threshold=chosen.detector_threshold, labels=chosen.detector_labels
        )
    pipe = KeypointDetectionPipeline.from_pretrained(resolve_model(chosen.model), dataset=chosen.dataset)
    predictor = VideoPredictor(
        predictor=pipe.predictor(flip_test=chosen.flip_test),
        find_people=find_people,
        min_score=chosen.detector_threshold,
        detect_every=1 if chosen.detect_every is None else chosen.detect_every,
        smooth=chosen.smooth,
    )
    predict_video(predictor, video, chosen.out, formats=chosen.formats, style=chosen.style)
    if isinstance(find_people, BoxesFile) and find_people.left:
        rest = (chosen.boxes, len(find_people.left), max(find_people.left))
        logger.warning("%s has boxes of %d frames, up to number %d, which the video does not have.", *rest)
