"""The command line: `vitpose predict`, `convert`; the other commands are in `cli_evaluate`, `cli_data`, `cli_hub`."""

import argparse
import logging
import sys
from pathlib import Path

from safetensors import SafetensorError

from .data import add_data_commands
from .evaluate import add_evaluate_command
from .hub import add_hub_commands

INTERRUPTED = 130  # what shells expect of a command that Ctrl-C ended


def main(arguments: list[str] | None = None) -> int:
    """Run a command; a mistake of the user ends with its message and status 2, without a traceback."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("vitpose").setLevel(logging.INFO)
    parser = _parser()
    chosen, rest = parser.parse_known_args(arguments)
    if rest and not chosen.takes_recipe:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    _quieten_transformers()
    try:
        chosen.command(chosen, rest)
    except (ValueError, TypeError, OSError, ImportError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    except SafetensorError as error:
        sys.stderr.write(f"error: The weights cannot be read as safetensors: {error}. Get or save them again.\n")
        return 2
    except KeyboardInterrupt as interruption:
        sys.stderr.write(f"{interruption or 'Interrupted.'}\n")
        return INTERRUPTED
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="vitpose", description="Human and animal pose with plain Vision Transformers."
    )
    parser.set_defaults(takes_recipe=False)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    predict = commands.add_parser("predict", help="find the keypoints of people in photos or a video and draw them")
    predict.add_argument(
        "images", nargs="+", type=Path, metavar="IMAGE", help="photos, one video, or a webcam's number"
    )
    predict.add_argument("--model", default="tiny", help="folder or Hub id; 'tiny' is the one inside the package")
    predict.add_argument("--dataset", metavar="NAME", help="whose keypoints to find, where a model has several")
    where = predict.add_mutually_exclusive_group(required=True)
    where.add_argument(
        "--boxes", type=Path, help='JSON list of {"file_name" or "frame", "bbox": [x, y, width, height]}'
    )
    where.add_argument("--detector", help="object-detection model of transformers that finds the people")
    where.add_argument("--whole-image", action="store_true", help="one person fills each image")
    predict.add_argument("--detector-threshold", type=float, default=0.3, help="least score of a detected person")
    predict.add_argument(
        "--detector-labels", nargs="+", default=["person"], metavar="NAME", help="what counts in the detector's words"
    )
    predict.add_argument(
        "--flip-test", action="store_true", help="look at the mirrored photo too: slower, a bit better"
    )
    predict.add_argument("--detect-every", type=int, metavar="N", help="detect people in every N-th frame of a video")
    predict.add_argument("--smooth", action="store_true", help="calm the keypoints of a video")
    predict.add_argument("--out", type=Path, default=Path("predictions"), help="folder to write into")
    predict.set_defaults(command=_predict)

    convert = commands.add_parser(
        "convert",
        help="read a checkpoint of the authors' release, of MAE or DINOv2, or of transformers, and write it as another",
    )
    convert.add_argument("source", help="file, folder or Hub id; 'tiny' is the one inside the package")
    convert.add_argument("--out", type=Path, required=True, help="folder to write; with --to authors a .pth file")
    convert.add_argument("--to", choices=("transformers", "authors"), default="transformers", help="format to write")
    convert.add_argument("--datasets", nargs="+", metavar="NAME", help="whose keypoints the heads predict, in order")
    convert.add_argument("--image-size", nargs=2, type=int, metavar=("HEIGHT", "WIDTH"), help="crops in pixels")
    convert.add_argument("--num-attention-heads", type=int, help="needed for widths that were never published")
    convert.add_argument("--fold", metavar="NAME", help="write the ordinary model of this dataset alone")
    convert.set_defaults(command=_convert)

    add_evaluate_command(commands)
    add_data_commands(commands)
    add_hub_commands(commands)
    return parser


# Imports of torch and transformers wait until a command runs, so that --help answers at once.


def _quieten_transformers() -> None:
    """Leave out the bars of reading weights: those left are the command's own."""
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()


def _predict(chosen: argparse.Namespace, _: list[str]) -> None:
    from ..video.files import video_source
    from .predict import load_pipeline, predict_files, read_boxes

    video = video_source(chosen.images)
    if video is not None:
        return _predict_video(chosen, video)
    if chosen.smooth or chosen.detect_every is not None:
        raise ValueError("--smooth and --detect-every are for videos; leave them out for photos.")
    boxes = None if chosen.boxes is None else read_boxes(chosen.boxes, chosen.images)
    pipe = load_pipeline(
        chosen.model,
        dataset=chosen.dataset,
        detector=chosen.detector,
        detector_threshold=chosen.detector_threshold,
        detector_labels=chosen.detector_labels,
        flip_test=chosen.flip_test,
    )
    predict_files(pipe, chosen.images, chosen.out, boxes=boxes)


def _predict_video(chosen: argparse.Namespace, video: Path | int) -> None:
    from ..video.find_people import BoxesFile, PeopleDetector, find_whole_image
    from ..video.predict_video import predict_video
    from ..video.predictor import VideoPredictor
    from .predict import Predictor, load_pipeline

    if chosen.detect_every is not None and chosen.detector is None:
        raise ValueError("--detect-every is for --detector: with --boxes or --whole-image, leave it out.")
    boxes = None if chosen.boxes is None else BoxesFile(chosen.boxes)
    detector = None
    if chosen.detector is not None:
        found = {"threshold": chosen.detector_threshold, "labels": chosen.detector_labels}
        detector = PeopleDetector(chosen.detector, **found)
    predictor = VideoPredictor(
        predictor=Predictor(load_pipeline(chosen.model, dataset=chosen.dataset, flip_test=chosen.flip_test)),
        find_people=boxes or detector or find_whole_image,
        min_score=chosen.detector_threshold,
        detect_every=1 if chosen.detect_every is None else chosen.detect_every,
        smooth=chosen.smooth,
    )
    predict_video(predictor, video, chosen.out)
    if boxes is not None:
        boxes.warn_of_rest()


def _convert(chosen: argparse.Namespace, _: list[str]) -> None:
    from .convert import convert

    convert(
        chosen.source,
        chosen.out,
        to=chosen.to,
        datasets=chosen.datasets,
        image_size=tuple(chosen.image_size) if chosen.image_size else None,
        num_attention_heads=chosen.num_attention_heads,
        fold=chosen.fold,
    )


if __name__ == "__main__":
    sys.exit(main())
