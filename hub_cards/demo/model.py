"""The demo without its interface: photos and videos in; people, pictures and files to download out."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import torch
from PIL import Image
from transformers import Pipeline

from vitpose.base.published import TINY, resolve_model
from vitpose.modeling.keypoint_schemas import KeypointSchema
from vitpose.processing.detection_vitpose import as_detector
from vitpose.processing.keypoint_detection_pipeline import DETECTOR_THRESHOLD, KeypointDetectionPipeline
from vitpose.processing.people_forms_vitpose import CONFIDENCE_THRESHOLD
from vitpose.processing.people_vitpose import People

from .answers import Found, Look, draw_full, write_csv, write_json
from .boxes import Box, check_boxes
from .examples import Example, photograph, write_clip, write_examples
from .knowledge import describe_model
from .photos import Photo, open_photo, read_photo
from .videos import DrawnVideo, Progress, drawn_video, predict_clip
from .zero_gpu import on_gpu

Source = Literal["detector", "whole image", "boxes"]

SOURCES: tuple[Source, ...] = get_args(Source)  # the first that is possible is chosen at first
KEPT_ANSWERS = 50  # whose files stay; the interface has copied those of older ones
GPU_SECONDS = 120  # that a video may take on ZeroGPU


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Which model finds whose keypoints in which people.

    Args:
        model: One of [`Demo.models`].
        dataset: One of the model's [`Demo.datasets`].
        source: Where people come from.
        boxes: The people, where the source is "boxes".
        detector_threshold: Least score of a person, where the source is "detector".
    """

    model: str
    dataset: str
    source: Source
    boxes: tuple[Box, ...] = ()
    detector_threshold: float = DETECTOR_THRESHOLD


class Demo:
    """Models that are ready to answer.

    Args:
        models: Folders, published names, Hub ids, or "tiny"; the first one is chosen at first.
        detector: Object-detection model of transformers, "light" and "accurate" are published ones; None: people come
            from boxes, or one fills the image.

    Raises:
        OSError, ValueError: A model cannot be loaded.
    """

    def __init__(self, models: Sequence[str], *, detector: str | Pipeline | None = None) -> None:
        if not models:
            raise ValueError("models: expected at least one folder or Hub id, got none.")
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        names = dict(zip(_short_names(models), models, strict=True))
        self._folders = {name: Path(resolve_model(given)) for name, given in names.items()}
        self._pipelines = {
            name: KeypointDetectionPipeline.from_pretrained(str(folder), device=device)
            for name, folder in self._folders.items()
        }
        self._detector = None if detector is None else as_detector(detector, device=device)
        self._folder = tempfile.TemporaryDirectory(prefix="vitpose-demo-")
        self.examples = self._write_examples()
        self._solved: dict[tuple[int, str, str], Found] = {}
        self._answers: deque[Path] = deque()
        self._lock = threading.Lock()
        self._find_keypoints = on_gpu(self._predict)
        self._draw_video = on_gpu(self._predict_video, seconds=GPU_SECONDS)

    @property
    def models(self) -> list[str]:
        """Their names; those of folders are their last two parts."""
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

    def schema(self, model: str, dataset: str) -> KeypointSchema:
        """The keypoints of one of a model's datasets."""
        schema: KeypointSchema = self._pipeline(model).predictor(self._index(model, dataset)).schema
        return schema

    def describe(self, model: str, dataset: str) -> str:
        """What a model knows, as HTML."""
        return describe_model(model, self._folders[model], self.schema(model, dataset))

    def find(self, photo: str | Path | Photo | None, choice: Choice) -> Found:
        """Find the people of a photo.

        Args:
            photo: Path of an image file, or a photo that was opened.
            choice: What finds them.

        Raises:
            ValueError: Something about these; the message is for the one who chose them.
        """
        opened = photo if isinstance(photo, Photo) else open_photo(photo)
        if choice.source == "boxes":
            if not choice.boxes:
                raise ValueError("There is no box yet: drag one around each person in the photo.")
            check_boxes(choice.boxes, opened.size)
        elif choice.source not in self.sources:
            raise ValueError(f"People may come from {', '.join(self.sources)} here, got {choice.source!r}.")
        self._check_dataset(choice.model, choice.dataset)
        people = self._find_keypoints(read_photo(opened.path), choice)
        return Found(photo=opened, people=people, model=choice.model, dataset=choice.dataset)

    def solve(self, number: int, *, model: str, dataset: str) -> Found:
        """The people of an example; those of the last ones are remembered."""
        key = (number, model, dataset)
        if key not in self._solved:
            example = self.examples[number]
            choice = Choice(model=model, dataset=dataset, source=self.source_of(number), boxes=example.boxes or ())
            self._solved[key] = self.find(example.path, choice)
        return self._solved[key]

    def source_of(self, number: int) -> Source:
        """Where the people of an example come from."""
        return self.sources[0] if self.examples[number].boxes is None else "boxes"

    def write_files(self, found: Found) -> tuple[Path, Path]:
        """JSON and CSV files of all that was found."""
        name = found.photo.path.stem
        with self._new_folder() as folder:
            return write_json(found, folder / f"{name}_people.json"), write_csv(found, folder / f"{name}_people.csv")

    def write_picture(self, found: Found, look: Look) -> Path:
        """A file of the drawn photo in its full size.

        Raises:
            ValueError: The photo is no longer there.
        """
        with self._new_folder() as folder:
            return draw_full(found, look, folder / f"{found.photo.path.stem}_pose.png")

    def example_clip(self) -> Path | None:
        """A clip to start from; None without the extra `video`."""
        path = Path(self._folder.name) / "example.mp4"
        try:
            return path if path.exists() else write_clip(path)
        except ImportError:
            return None

    def video(
        self,
        clip: str | Path | None,
        choice: Choice,
        *,
        detect_every: int = 1,
        smooth: bool = False,
        threshold: float = CONFIDENCE_THRESHOLD,
        stop: threading.Event | None = None,
    ) -> Iterator[Progress | DrawnVideo | None]:
        """Find the people of every frame.

        Args:
            clip: Path of a video.
            choice: What finds them; not boxes.
            detect_every: Look for people in every so many frames, and follow them in between.
            smooth: Smooth the keypoints over time (One Euro filter).
            threshold: Keypoints that score below it are not drawn.
            stop: Ends it once it is set, with what was done until then.

        Returns:
            An iterator over its progress, whose last item is the drawn video: None if there is no frame of it.

        Raises:
            ValueError: As [`find`].
            ModuleNotFoundError: The extra `video` is not installed.
        """
        if clip is None:
            raise ValueError("There is no video yet: upload one, or take the example.")
        if choice.source == "boxes" or choice.source not in self.sources:
            raise ValueError(f"The people of a video come from a detector or the whole image, got {choice.source!r}.")
        self._check_dataset(choice.model, choice.dataset)
        with self._new_folder() as folder:
            progress = self._draw_video(Path(clip), folder, choice, int(detect_every), smooth, threshold)
            with closing(progress):
                try:
                    for step in progress:
                        yield step
                        if stop is not None and stop.is_set():
                            break
                except ValueError as error:
                    drawn = drawn_video(folder, mistake=str(error).partition(" Before that came ")[0])
                    if drawn is None:
                        raise
                    yield drawn
                    return
            yield drawn_video(folder)

    def _predict(self, image: Image.Image, choice: Choice) -> People:
        boxes = [list(box) for box in choice.boxes] if choice.source == "boxes" else None
        detector = {"detector": self._detector, "detector_threshold": choice.detector_threshold}
        index = self._index(choice.model, choice.dataset)
        people: People = self._pipeline(choice.model).find_people(
            image, boxes=boxes, dataset=index, **(detector if choice.source == "detector" else {})
        )
        return people

    def _predict_video(
        self, clip: Path, folder: Path, choice: Choice, detect_every: int, smooth: bool, threshold: float
    ) -> Generator[Progress, None, None]:
        predictor = self._pipeline(choice.model).predictor(self._index(choice.model, choice.dataset))
        detector = self._detector if choice.source == "detector" else None
        least = choice.detector_threshold
        yield from predict_clip(predictor, detector, clip, folder, detect_every, smooth, threshold, least)

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

    def _write_examples(self) -> list[Example]:
        """Generated people, after a photograph where a model has seen some."""
        generated, real = write_examples(Path(self._folder.name)), photograph()
        return [real, *generated] if real and self.models[0] != TINY else generated

    @contextmanager
    def _new_folder(self) -> Iterator[Path]:
        """A folder for the files of an answer, in place of that of an old one once they are written."""
        folder = Path(tempfile.mkdtemp(dir=self._folder.name))
        try:
            yield folder
        finally:
            with self._lock:  # visitors have threads of their own
                self._answers.append(folder)
                while len(self._answers) > KEPT_ANSWERS:
                    shutil.rmtree(self._answers.popleft(), ignore_errors=True)


def _short_names(models: Sequence[str]) -> list[str]:
    """Names of models for the page: of folders the last two parts, unless they are alike."""
    short = ["/".join(Path(name).parts[-2:]) for name in models]
    return short if len(set(short)) == len(set(models)) else list(models)
