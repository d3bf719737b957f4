"""People found by an object-detection model of transformers, with the parts of pixels that its pipeline cuts off."""

import logging
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from transformers import Pipeline, pipeline
from transformers.models.auto.modeling_auto import MODEL_FOR_OBJECT_DETECTION_MAPPING_NAMES

from vitpose.base.published import DETECTORS, Kind, resolve_model

from .people_vitpose import Detections

logger = logging.getLogger(__name__)

DETECTOR = Kind(
    word="an object detector",
    published=DETECTORS,
    types=tuple(MODEL_FOR_OBJECT_DETECTION_MAPPING_NAMES),
    remedy="or do without a detector, in Python detector=None: give the boxes, or --whole-image for one person",
)


def as_detector(detector: Any, *, device: torch.device | None = None) -> Pipeline:
    """An object-detection pipeline, from one or from the name of such a model; see [`resolve_model`].

    Raises:
        OSError: It cannot be fetched from the Hub.
        TypeError: It is neither a name nor a pipeline.
        ValueError: It is no object detector.
    """
    if isinstance(detector, (str, Path)):
        return pipeline("object-detection", model=resolve_model(str(detector), DETECTOR), device=device)
    if not isinstance(detector, Pipeline):
        raise TypeError(
            f"detector must be the name of an object-detection model or a pipeline, got {type(detector).__name__}: "
            f'make one with pipeline("object-detection", model=..., image_processor=...).'
        )
    if detector.task != "object-detection":
        raise ValueError(f"detector must be a pipeline for object-detection, got one for {detector.task!r}.")
    return detector


def detect(
    detector: Pipeline, pixels: Tensor, *, threshold: float, labels: Sequence[str], do_rescale: bool = True
) -> Detections:
    """Run a detector on one image and keep what it calls by one of the labels.

    Args:
        detector: An object-detection pipeline.
        pixels: `(3, height, width)` RGB in 0..255, or without do_rescale floats in 0..1.
        threshold: Least score.
        labels: Names of the detector's classes.
        do_rescale: As of the pose model's processor.

    Raises:
        TypeError: the labels are a single string.
        ValueError: the detector has no class of these names, or the pixels are in no range of photos.
    """
    return detect_all(detector, [pixels], threshold=threshold, labels=labels, do_rescale=do_rescale)[0]


def detect_all(
    detector: Pipeline, images: Sequence[Tensor], *, threshold: float, labels: Sequence[str], do_rescale: bool = True
) -> list[Detections]:
    """Run a detector on some images; those that it sees in one size share a batch. See [`detect`]."""
    if isinstance(labels, str):
        raise TypeError(f"detector_labels: expected a list of names such as [{labels!r}], got the string {labels!r}.")
    known = {int(number): label for number, label in (detector.model.config.id2label or {}).items()}
    wanted = {number for number, label in known.items() if label in labels}
    if not wanted:
        raise ValueError(
            f"The detector has no class {' or '.join(map(repr, labels))}: pass detector_labels, some of its own "
            f"{', '.join(map(repr, list(known.values())[:10]))}."
        )
    prepared = [detector.preprocess(_to_photo(pixels, do_rescale)) for pixels in images]
    found: list[Any] = []
    for inputs in _batches(prepared):
        processor: Any = detector.image_processor  # that of a detector, of which transformers declares no class
        sizes = [tuple(pixels.shape[1:]) for pixels in images[len(found) : len(found) + len(inputs["target_size"])]]
        outputs = detector.forward(inputs)
        found += processor.post_process_object_detection(outputs, threshold=threshold, target_sizes=sizes)
    return [_kept(own, pixels, known, wanted) for own, pixels in zip(found, images, strict=True)]


def _batches(prepared: Sequence[Any]) -> Iterator[Any]:
    """Inputs of a detector, joined as long as their tensors are of one shape."""
    for _, group in groupby(prepared, key=lambda inputs: {name: value.shape for name, value in inputs.items()}):
        same = list(group)
        yield type(same[0])({name: torch.cat([inputs[name] for inputs in same]) for name in same[0]})


def _kept(found: Any, pixels: Tensor, known: dict[int, str], wanted: set[int]) -> Detections:
    """What is wanted of the detections in one image."""
    corners, classes = found["boxes"].cpu().double(), found["labels"].tolist()  # (n, 4) left, top, right, bottom
    kept = torch.tensor([number in wanted for number in classes], dtype=torch.bool)
    kept &= _visible(corners, kept, height=pixels.shape[1], width=pixels.shape[2])
    return Detections(
        boxes_xywh=torch.cat([corners[kept, :2], corners[kept, 2:] - corners[kept, :2]], dim=1),
        scores=found["scores"].cpu()[kept],
        labels=tuple(known[number] for number, own in zip(classes, kept.tolist(), strict=True) if own),
    )


def _to_photo(pixels: Tensor, do_rescale: bool) -> Image.Image:
    """What the detector sees of pixels `(3, height, width)` that the pose model takes."""
    low, high = (value.item() for value in pixels.aminmax())
    if low < 0 or high > 255:
        raise ValueError(
            f"a detector needs photos of 0..255, or floats of 0..1 with do_rescale=False, but this image spans "
            f"{low:g}..{high:g}: give one of those, or the boxes."
        )
    if pixels.is_floating_point() and not do_rescale and high <= 1:
        pixels = 255 * pixels
    return Image.fromarray(pixels.round().byte().permute(1, 2, 0).cpu().numpy())


def _visible(corners: Tensor, wanted: Tensor, *, height: int, width: int) -> Tensor:
    """Which boxes `(n, 4)` have an area inside the image; those wanted that have none are logged."""
    visible = (corners[:, 2:] > corners[:, :2]).all(1) & (corners[:, 2:] > 0).all(1)
    visible &= (corners[:, :2] < corners.new_tensor([width, height])).all(1)
    if (wanted & ~visible).any():
        logger.warning("Left out %d detections without an area inside the image.", int((wanted & ~visible).sum()))
    return visible
