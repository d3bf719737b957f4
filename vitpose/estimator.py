"""Pose estimation in one line: `vitpose.load()`."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import torch
from transformers import Pipeline

from .base.files import read_json
from .base.hub import CONFIG
from .base.published import EXPORTED, resolve_model
from .photos.crops import cut_photos
from .photos.reading import Unreadable
from .photos.sources import PhotoSource, SourceName, VideoSource, find_sources
from .processing.keypoint_detection_pipeline import BATCH_SIZE, DETECTOR_THRESHOLD, KeypointDetectionPipeline
from .processing.people_vitpose import People
from .processing.prediction_vitpose import PosePredictor

logger = logging.getLogger(__name__)

DEFAULT_MODEL = "base"
DEFAULT_DETECTOR = "accurate"


def load(
    model: str | Path = DEFAULT_MODEL,
    *,
    detector: str | Path | Pipeline | None = DEFAULT_DETECTOR,
    dataset: str | int | None = None,
    device: str | torch.device | None = None,
    dtype: torch.dtype | str | None = None,
    batch_size: int = BATCH_SIZE,
    flip_test: bool = False,
    detector_threshold: float = DETECTOR_THRESHOLD,
) -> PoseEstimator:
    """Load a model that finds the keypoints of people in photos and videos.

    Published weights are fetched from the Hub, once. The ones inside the package need no network; they know drawn
    people only, and are for trying things out.

    Examples:
        >>> import vitpose
        >>> estimator = vitpose.load("tiny", detector=None)
        >>> photo = vitpose.SyntheticPeople(num_people=1, seed=5)[0]["image"]
        >>> people = estimator(photo)
        >>> len(people), people.keypoints_xy.shape, people.schema.keypoints[0]
        (1, torch.Size([1, 17, 2]), 'nose')

    Args:
        model: `small`, `base`, `large` or `huge`, the published ViTPose++; `tiny`; a folder; or the id of a repository
            on the Hub. `NAME@REVISION` takes a branch, tag or commit of it.
        detector: What finds the people: `accurate` or `light`, published; a folder or a Hub id of an object detector of
            transformers; or such a pipeline. With None one person fills each photo that comes without boxes.
        dataset: Name or index of the dataset whose keypoints to find; needed where the model has several heads.
        device: Where to compute, such as `"cuda:1"`. By default the accelerator that torch finds, CUDA, MPS or XPU,
            else the CPU.
        dtype: Precision of the pose model; the detector computes in float32. By default float16 on an accelerator and
            float32 on a CPU.
        batch_size: People in one forward pass; they may come from several photos.
        flip_test: Average with the mirrored crops, as benchmarks do, at twice the time.
        detector_threshold: Least score of a person.

    Raises:
        OSError: The model or the detector cannot be fetched; the message says how to do without.
        ValueError: There is no such model, device or dtype.
    """
    pipe = load_pipeline(
        model,
        detector=detector,
        dataset=dataset,
        device=device,
        dtype=dtype,
        batch_size=batch_size,
        flip_test=flip_test,
        detector_threshold=detector_threshold,
    )
    return PoseEstimator(pipe)


def load_pipeline(
    model: str | Path = DEFAULT_MODEL,
    *,
    detector: str | Path | Pipeline | None = DEFAULT_DETECTOR,
    device: str | torch.device | None = None,
    dtype: torch.dtype | str | None = None,
    **settings: Any,
) -> KeypointDetectionPipeline:
    """The pipeline that [`load`] builds on.

    Args:
        model: As for [`load`].
        detector: As for [`load`].
        device: As for [`load`].
        dtype: As for [`load`].
        settings: Further ones of [`KeypointDetectionPipeline`].

    Raises:
        OSError, ValueError: As [`load`].
    """
    if isinstance(dtype, str) and not isinstance(getattr(torch, dtype, None), torch.dtype):
        raise ValueError(f"dtype: expected a type of torch such as 'float16' or 'float32', got {dtype!r}.")
    folder = resolve_model(str(model))
    place: torch.device | None = pick_device() if device is None else check_device(device)
    if _is_exported(folder):  # which runs where its runtime does, in the precision it was exported in
        place = None if device is None else place
    elif place is not None and dtype is None:
        dtype = pick_dtype(place)
    return KeypointDetectionPipeline.from_pretrained(folder, detector=detector, device=place, dtype=dtype, **settings)


def pick_device() -> torch.device:
    """The accelerator of this machine that torch can use (CUDA, MPS, XPU), else the CPU."""
    return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")


def pick_dtype(device: torch.device) -> torch.dtype:
    """float32 on a CPU, half precision elsewhere.

    float16 rather than bfloat16, whose 8 bits are few for the peaks of heatmaps: in 40 generated photos keypoints of
    the tiny model move by 0.005 pixels (median) and at most 1 in the one, by 0.05 and up to 37 in the other.
    """
    return torch.float32 if device.type == "cpu" else torch.float16


def check_device(name: str | torch.device) -> torch.device:
    """The device of this name.

    Raises:
        ValueError: This machine or this build of torch has none of it.
    """
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise ValueError(
            f"device: expected one of this machine, such as '{pick_device()}', got {name!r}: {reason}."
        ) from error


def _is_exported(folder: str) -> bool:
    config = Path(folder, CONFIG)
    return config.is_file() and read_json(config).get("model_type") == EXPORTED


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where people were found.

    Args:
        place: The file, the address, or the number of the camera.
        frame: Number of the frame in a video, from 0; None for a photo.
        time: Seconds since the first frame; None for a photo.
    """

    place: Path | str | int
    frame: int | None = None
    time: float | None = None


def _warn(photo: Unreadable) -> None:
    logger.warning("Left out %s: %s.", photo.source.place, photo.reason)


class PoseEstimator:
    """Finds the keypoints of people in photos and videos; made by [`load`].

    Args:
        pipe: The pipeline behind it, with all of its settings.
    """

    def __init__(self, pipe: KeypointDetectionPipeline) -> None:
        self.pipe = pipe

    @overload
    def __call__(self, photos: list[Any] | tuple[Any, ...], boxes: Any = None) -> list[People]: ...

    @overload
    def __call__(self, photos: Any, boxes: Any = None) -> People: ...

    def __call__(self, photos: Any, boxes: Any = None) -> People | list[People]:
        """Find the people of one photo, or of each of a list; for many photos [`stream`] needs less memory.

        Args:
            photos: A path, an http(s) address, a PIL image, or an array or tensor; or a list of them.
            boxes: The people, where they are known: `[[x, y, width, height], ...]` in image pixels for a photo, and one
                such list each for a list of photos.

        Returns:
            The people, in image pixels; of a list of photos a list.

        Raises:
            TypeError, ValueError: A photo cannot be read, or a box is outside; the message names it by its place.
        """
        if isinstance(photos, (str, Path)) and Path(photos).is_dir():
            raise ValueError(f"photos: expected a photo, got the folder {photos}. Go through it with stream.")
        found: People | list[People] = self.pipe.find_people(photos, boxes)
        return found

    def stream(
        self, sources: SourceName | Iterable[SourceName], *, recursive: bool = False
    ) -> Iterator[tuple[Origin, People]]:
        """Find the people of all that `vitpose predict` takes, photo after photo and frame after frame.

        However many there are, no more photos are in memory than share a batch. A photo that cannot be read is left
        out with a warning. The people of a video have track ids.

        Args:
            sources: Photos, folders, globs, http(s) addresses, videos, numbers of cameras, or streams; one or several.
            recursive: Look into folders of folders too.

        Yields:
            Where it was, and its people in image pixels.

        Raises:
            FileNotFoundError: There is no such file, folder or camera; before anything is predicted.
            ValueError: There is no photo or video, or a video cannot be read.
        """
        found = find_sources(sources, recursive=recursive)
        return self._stream(found.photos, found.videos)

    def _stream(self, photos: list[PhotoSource], videos: list[VideoSource]) -> Iterator[tuple[Origin, People]]:
        predictor = self.pipe.predictor()
        crops = cut_photos(self.pipe, predictor, photos, report=_warn)
        for (source, *_), people in predictor.stream(crops, batch_size=self.pipe.options().batch_size):
            yield Origin(place=source.place), people
        for video in videos:
            yield from self._stream_video(video, predictor)

    def _stream_video(self, video: VideoSource, predictor: PosePredictor) -> Iterator[tuple[Origin, People]]:
        from .video.detector import people_finder  # video reading is an extra
        from .video.frames import Frame
        from .video.live import newest_frames
        from .video.people import VideoPredictor
        from .video.reader import VideoReader

        options = self.pipe.options()
        find_people = people_finder(
            options.detector,
            threshold=options.detector_threshold,
            labels=options.detector_labels,
            category=predictor.schema.category,
        )
        tracked = VideoPredictor(predictor=predictor, find_people=find_people, min_score=options.detector_threshold)
        with ExitStack() as stack:
            reader = stack.enter_context(VideoReader(video.place))
            newest: AbstractContextManager[Iterable[Frame]] = (
                newest_frames(reader, reader.name) if reader.sends_on else nullcontext(reader)
            )
            for frame, people in tracked.stream(stack.enter_context(newest), live=reader.is_live):
                yield Origin(place=video.place, frame=frame.index, time=frame.time), people
