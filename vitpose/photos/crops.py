"""Photos read, and the people in them found and cut out, ready for a model."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

import torch

from vitpose.processing.annotations_vitpose import parse_image_boxes
from vitpose.processing.detection_vitpose import detect_all
from vitpose.processing.keypoint_detection_pipeline import KeypointDetectionPipeline, PipelineOptions
from vitpose.processing.people_vitpose import Detections
from vitpose.processing.prediction_vitpose import Crops, PosePredictor, cut_crops

from .boxes import Boxes
from .reading import Pixels, Unreadable, read_ahead
from .sources import PhotoSource

DETECTED_TOGETHER = 8  # photos in one batch of a detector on an accelerator; a CPU is no faster with several
MAX_PIXELS = 64_000_000  # of photos that wait for such a batch

SizedPhoto: TypeAlias = tuple[PhotoSource, int, int]
"""A photo, its width and its height in pixels, upright."""


def cut_photos(
    pipe: KeypointDetectionPipeline,
    predictor: PosePredictor,
    photos: Iterable[PhotoSource],
    *,
    boxes: Mapping[str, Boxes] | None = None,
    report: Callable[[Unreadable], object],
) -> Iterator[tuple[SizedPhoto, Crops, Detections]]:
    """Read photo after photo, find its people and cut them out.

    Args:
        pipe: Its detector finds the people where boxes are not given; without one, each photo is one person.
        predictor: What the crops are for.
        photos: Which.
        boxes: The people of each photo, by its name.
        report: Takes the photos that cannot be read, or whose boxes lie outside.

    Raises:
        ValueError: The detector has no class of the labels that are looked for.
    """
    options, device, dtype = pipe.options(), predictor.device, predictor.dtype
    if options.detector is not None:
        _detect(options, [], predictor)  # what is wrong with the settings is told before the first photo
    together = _together(options, device)
    for chunk in _chunks(read_ahead(photos, do_rescale=predictor.settings.do_rescale), together, report):
        for photo, found in zip(chunk, _find(chunk, options, predictor, boxes), strict=True):
            try:
                if isinstance(found, Exception):
                    raise found
                crops = cut_crops(photo.pixels, found.boxes_xywh, predictor.settings, device=device, dtype=dtype)
            except (TypeError, ValueError) as error:
                report(Unreadable(source=photo.source, reason=str(error).rstrip(".")))
                continue
            height, width = photo.pixels.shape[1:]
            yield (photo.source, width, height), crops, found


def _together(options: PipelineOptions, device: torch.device) -> int:
    """How many photos are looked at in a batch."""
    return 1 if options.detector is None or device.type == "cpu" else DETECTED_TOGETHER


def _chunks(
    photos: Iterable[Pixels | Unreadable], size: int, report: Callable[[Unreadable], object]
) -> Iterator[list[Pixels]]:
    """The photos that could be read, some at a time."""
    chunk: list[Pixels] = []
    for photo in photos:
        if isinstance(photo, Unreadable):
            report(photo)
            continue
        chunk.append(photo)
        if len(chunk) >= size or sum(own.pixels[0].numel() for own in chunk) > MAX_PIXELS:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _find(
    chunk: Sequence[Pixels], options: PipelineOptions, predictor: PosePredictor, boxes: Mapping[str, Boxes] | None
) -> Sequence[Detections | Exception]:
    """The people of each photo, or why they could not be looked for."""
    category = predictor.schema.category
    if boxes is not None:
        return [Detections.given(parse_image_boxes(boxes[photo.source.name]), category) for photo in chunk]
    if options.detector is None:
        sizes = [photo.pixels.shape[1:] for photo in chunk]
        whole = [torch.tensor([[0.0, 0.0, width, height]], dtype=torch.float64) for height, width in sizes]
        return [Detections.given(box, category) for box in whole]
    try:
        return _detect(options, chunk, predictor)
    except (TypeError, ValueError) as error:
        if len(chunk) == 1:
            return [error]
        return [found for photo in chunk for found in _find([photo], options, predictor, boxes)]


def _detect(options: PipelineOptions, chunk: Sequence[Pixels], predictor: PosePredictor) -> list[Detections]:
    assert options.detector is not None
    return detect_all(
        options.detector,
        [photo.pixels for photo in chunk],
        threshold=options.detector_threshold,
        labels=options.detector_labels,
        do_rescale=predictor.settings.do_rescale,
    )
