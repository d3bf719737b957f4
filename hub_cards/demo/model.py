"""The demo without its interface: photos and videos in; people, pictures and files to download out."""

from __future__ import annotations

import csv
import json
import math
import shutil
import tempfile
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from PIL import Image

from vitpose.base.files import resolve_model
from vitpose.processing.detection_vitpose import as_detector
from vitpose.processing.drawing import draw_poses
from vitpose.processing.images_vitpose import to_rgb_photo
from vitpose.processing.keypoint_detection_pipeline import DETECTOR_THRESHOLD, KeypointDetectionPipeline
from vitpose.processing.people_vitpose import People

from .examples import write_examples
from .zero_gpu import on_gpu

Source = Literal["detector", "whole image", "boxes"]

SOURCES: tuple[Source, ...] = get_args(Source)  # the first that is possible is chosen at first
MAX_PIXELS = 50_000_000  # of a photo; a small file can hold a huge one
MAX_PEOPLE = 100  # boxes of a photo
KEPT_ANSWERS = 50  # whose files stay; the interface has copied those of older ones
GPU_SECONDS = 120  # that a video may take on ZeroGPU


@dataclass(frozen=True, kw_only=True)
class Found:
    """The people of one photo with all of their keypoints, so that another threshold needs no other prediction.

    Args:
        image: RGB, upright.
        people: their keypoints, in image pixels.
        model: name of the model that found them.
        dataset: whose keypoints they are.
    """

    image: Image.Image
    people: People
    model: str
    dataset: str


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The answer for a photo: a picture, a sentence, and files to download."""

    picture: Image.Image
    summary: str
    json_file: Path
    csv_file: Path


class Demo:
    """Models that are ready to answer.

    Args:
        models: folders or Hub ids, "tiny" for the checkpoint inside the package; the first one is chosen at first.
        detector: folder or Hub id of an object-detection model of transformers; None: people come from boxes, or one
            fills the image.

    Raises:
        OSError, ValueError: a model cannot be loaded.
    """

    def __init__(self, models: Sequence[str], *, detector: str | None = None) -> None:
        if not models:
            raise ValueError("models: expected at least one folder or Hub id, got none.")
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._pipelines = {
            name: KeypointDetectionPipeline.from_pretrained(resolve_model(name), device=device) for name in models
        }
        self._detector = None if detector is None else as_detector(detector, device=device)
        self._folder = tempfile.TemporaryDirectory(prefix="vitpose-demo-")
        self.examples = write_examples(Path(self._folder.name))
        self._answers: deque[Path] = deque()
        self._find_keypoints = on_gpu(self._predict)
        self._draw_video = on_gpu(self._predict_video, seconds=GPU_SECONDS)

    @property
    def models(self) -> list[str]:
        """Their names."""
        return list(self._pipelines)

    @property
    def sources(self) -> list[Source]:
        """The sources of people that this demo has."""
        return [source for source in SOURCES if source != "detector" or self._detector is not None]

    def datasets(self, model: str) -> list[str]:
        """Names of the datasets whose keypoints a model finds; their numbers where it does not tell the names."""
        config = self._pipeline(model).model.config
        if getattr(config, "num_datasets", 1) == 1:
            return [config.keypoint_schemas[0]["name"]]
        return list(config.named_datasets) or [str(index) for index in range(config.num_datasets)]

    def find(
        self,
        photo: str | Path | None,
        *,
        model: str,
        dataset: str,
        source: Source,
        boxes: Sequence[Sequence[Any]] = (),
        detector_threshold: float = DETECTOR_THRESHOLD,
    ) -> Found:
        """Find the people of a photo.

        Args:
            photo: path of an image file.
            model: one of `models`.
            dataset: one of the model's `datasets`.
            source: where people come from.
            boxes: x, y, width, height in image pixels, where the source is "boxes"; empty rows do not count.
            detector_threshold: least score of a person, where the source is "detector".

        Raises:
            ValueError: something about these; the message is for the one who chose them.
        """
        image = read_photo(photo)
        table = None
        if source == "boxes":
            table = check_boxes(boxes, image.size)
        elif source not in self.sources:
            raise ValueError(f"People may come from {', '.join(self.sources)} here, got {source!r}.")
        self._check_dataset(model, dataset)
        people = self._find_keypoints(image, model, dataset, table, source == "detector", detector_threshold)
        return Found(image=image, people=people, model=model, dataset=dataset)

    def answer(self, found: Found, *, threshold: float) -> Answer:
        """Show the keypoints that score above a threshold."""
        people = found.people.to_dicts(threshold)
        folder = self._new_folder()
        return Answer(
            picture=draw_poses(found.image, people, found.people.schema, min_score=0.0, boxes=True),
            summary=_summary(found, people, threshold),
            json_file=_write_json(folder / "people.json", found, people, threshold),
            csv_file=_write_csv(folder / "people.csv", people),
        )

    def video(
        self, clip: str | Path | None, *, model: str, dataset: str, source: Source, detect_every: int, smooth: bool
    ) -> tuple[Path, Path]:
        """Find the people of every frame.

        Args:
            clip: path of a video.
            model: one of `models`.
            dataset: one of the model's `datasets`.
            source: "detector" or "whole image".
            detect_every: look for people in every so many frames, and follow them in between.
            smooth: Smooth the keypoints over time (One Euro filter).

        Returns:
            The drawn video, and a file of a line of JSON a frame.

        Raises:
            ValueError: as [`find`].
            ModuleNotFoundError: the extra `video` is not installed.
        """
        if clip is None:
            raise ValueError("There is no video yet: upload one.")
        if source == "boxes" or source not in self.sources:
            raise ValueError(f"The people of a video come from a detector or the whole image, got {source!r}.")
        self._check_dataset(model, dataset)
        folder = self._new_folder()
        self._draw_video(Path(clip), folder, model, dataset, source == "detector", int(detect_every), smooth)
        (drawn,) = folder.glob("*_pose.mp4")
        return drawn, folder / "predictions.jsonl"

    def _predict(
        self,
        image: Image.Image,
        model: str,
        dataset: str,
        boxes: list[list[float]] | None,
        detect: bool,
        detector_threshold: float,
    ) -> People:
        detector = {"detector": self._detector, "detector_threshold": detector_threshold} if detect else {}
        return self._pipeline(model).find_people(image, boxes=boxes, dataset=self._index(model, dataset), **detector)

    def _predict_video(
        self, clip: Path, folder: Path, model: str, dataset: str, detect: bool, detect_every: int, smooth: bool
    ) -> None:
        from vitpose.video.detector import PeopleDetector  # these need the extra `video`
        from vitpose.video.files import predict_video
        from vitpose.video.people import VideoPredictor, find_whole_image

        predictor = VideoPredictor(
            predictor=self._pipeline(model).predictor(self._index(model, dataset)),
            find_people=PeopleDetector(self._detector) if detect and self._detector else find_whole_image,
            detect_every=detect_every if detect else 1,
            smooth=smooth,
        )
        predict_video(predictor, clip, folder)

    def _pipeline(self, model: str) -> KeypointDetectionPipeline:
        if model not in self._pipelines:
            raise ValueError(f"model: expected one of {', '.join(self.models)}, got {model!r}.")
        return self._pipelines[model]

    def _index(self, model: str, dataset: str) -> int:
        return self.datasets(model).index(dataset)

    def _check_dataset(self, model: str, dataset: str) -> None:
        known = self.datasets(model)
        if dataset not in known:
            raise ValueError(f"{model} finds the keypoints of {', '.join(known)}, choose one; got {dataset!r}.")

    def _new_folder(self) -> Path:
        """A folder for the files of an answer, in place of that of an old one."""
        if len(self._answers) == KEPT_ANSWERS:
            shutil.rmtree(self._answers.popleft())
        self._answers.append(Path(tempfile.mkdtemp(dir=self._folder.name)))
        return self._answers[-1]


def read_photo(path: str | Path | None) -> Image.Image:
    """A photo as RGB, turned upright as its EXIF data says.

    Raises:
        ValueError: There is no file, it is not an image, or it is larger than the demo takes.
    """
    if path is None:
        raise ValueError("There is no photo yet: upload one, take one with the webcam, or choose an example.")
    name = Path(path).name
    try:
        with Image.open(path) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ValueError(
                    f"{name} has {image.width} x {image.height} pixels, the demo takes {MAX_PIXELS:,}: make it smaller."
                )
            return to_rgb_photo(image)
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"{name} cannot be read as a photo: upload a JPEG, PNG or WebP file.") from error


def check_boxes(rows: Sequence[Sequence[Any]], size: tuple[int, int]) -> list[list[float]]:
    """Boxes x, y, width, height in image pixels as they were typed into a table, without the empty rows.

    Raises:
        ValueError: Invalid box, a box outside the photo of this width and height, or no box.
    """
    filled = [list(row) for row in rows if any(cell not in ("", None) for cell in row)]
    if not filled:
        raise ValueError("There is no box yet: click two opposite corners in the photo, or type one into the table.")
    if len(filled) > MAX_PEOPLE:
        raise ValueError(f"Expected at most {MAX_PEOPLE} boxes, got {len(filled)}.")
    return [_check_box(number, row, size) for number, row in enumerate(filled, start=1)]


def _check_box(number: int, row: list[Any], size: tuple[int, int]) -> list[float]:
    try:
        x, y, width, height = map(float, row)
    except (TypeError, ValueError) as error:
        raise ValueError(f"Box {number}: expected four numbers x, y, width, height, got {row}.") from error
    box = [x, y, width, height]
    if not all(map(math.isfinite, box)) or width <= 0 or height <= 0:
        raise ValueError(f"Box {number}: expected x, y and a width and height above 0, in pixels, got {row}.")
    if x >= size[0] or y >= size[1] or x + width <= 0 or y + height <= 0:
        raise ValueError(f"Box {number}, {row}, lies outside the photo of {size[0]} x {size[1]} pixels.")
    return box


def box_of_corners(first: Sequence[float], second: Sequence[float]) -> list[float]:
    """Box x, y, width, height between two opposite corners x, y in image pixels."""
    (left, right), (top, bottom) = (sorted(pair) for pair in zip(first, second, strict=True))
    return [left, top, right - left, bottom - top]


def _summary(found: Found, people: list[dict[str, Any]], threshold: float) -> str:
    if len(found.people) == 0:
        return "**No people found.** Lower the detector's threshold, or mark them with boxes."
    count, total = sum(len(person["keypoints"]) for person in people), found.people.scores.numel()
    if not count:
        best = found.people.scores.max().item()
        advice = "Lower the threshold, or check the boxes."
        return f"**No keypoint scores above {threshold:.2f}**, the best {best:.2f}. {advice}"
    persons = "1 person" if len(people) == 1 else f"{len(people)} people"
    return f"**{persons}**, {count} of {total} keypoints score above {threshold:.2f}."


def _write_json(path: Path, found: Found, people: list[dict[str, Any]], threshold: float) -> Path:
    content = {
        "model": found.model,
        "dataset": found.dataset,
        "image": {"width": found.image.width, "height": found.image.height},
        "threshold": threshold,
        "people": people,
    }
    path.write_text(json.dumps(content, indent=1), encoding="utf-8")
    return path


def _write_csv(path: Path, people: list[dict[str, Any]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["person", "keypoint", "x", "y", "score"])
        for number, person in enumerate(people):
            rows.writerows(
                [number, *(point[name] for name in ("label", "x", "y", "score"))] for point in person["keypoints"]
            )
    return path
