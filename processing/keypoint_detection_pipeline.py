"""The pipeline `keypoint-detection`: photos in, people with named keypoints out.

People come from given boxes, from an object-detection model, or one fills the image; the people of several images share
batches.
"""

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from transformers import Pipeline, PreTrainedModel

from vitpose.modeling.saving_vitpose import write_code

from .annotations_vitpose import parse_boxes
from .detection_vitpose import as_detector, detect
from .image_loading_vitpose import LoadedImage, load_images
from .image_processing_vitpose import ViTPoseImageProcessor
from .prediction_vitpose import predict_heatmaps
from .processor_settings_vitpose import ViTPoseImageProcessorKwargs

BATCH_SIZE = 32  # people in one forward pass
DETECTOR_THRESHOLD = 0.3
SURE_SCORE = 0.2  # keypoints above it make a person's score (released configs)

People: TypeAlias = list[dict[str, Any]]
_SINGLE_INPUTS = (str, Path, Image.Image, np.ndarray, Tensor, dict)


class KeypointDetectionPipeline(Pipeline):
    """Keypoint detection with any ViTPose or ViTPose++ model, saved in transformers' format or in vitpose's.

    ```python
    from transformers import pipeline
    import vitpose

    pipe = pipeline("keypoint-detection", model=vitpose.TINY_CHECKPOINT)
    photo = vitpose.SyntheticPeople(num_people=1, seed=5)[0]["image"]
    people = pipe(photo, boxes=[[0, 0, *photo.size]])
    people[0]["keypoints"][0]  # {"label": "nose", "x": ..., "y": ..., "score": ...}
    ```

    Args:
        model: a folder, a Hub id or a model.
        image_processor: the model's own where it is loaded by name.
        backend: for models that `vitpose export` wrote, "onnxruntime" or "openvino"; what it was exported for by
            default.
        detector: finds the people of images that come without boxes: an object-detection pipeline, or the folder or Hub
            id of such a model. Without it, one person fills each image.
        detector_threshold: least score of a detected person, 0.3 by default.
        detector_labels: what counts as a person in the detector's words, ``["person"]`` by default.
        dataset: name or index of the dataset whose keypoints to find; needed where the model has several.
        flip_test: average the heatmaps with those of the mirrored crops, as benchmarks do, at twice the time.
        threshold: keypoints that do not score above it are left out; None keeps all.
        batch_size: people in one forward pass, 32 by default; they may come from several images.
        num_workers: processes that read images, 0 by default.
        timeout: seconds to wait for an image from a URL; None waits.

    All of them but the first three can be given when the pipeline is made, and for a single call.
    """

    _load_processor = False
    _load_image_processor = True
    _load_feature_extractor = False
    _load_tokenizer = False

    def __init__(self, *args: Any, backend: str | None = None, **kwargs: Any) -> None:
        self._detectors: dict[str, Pipeline] = {}
        super().__init__(*args, **kwargs)
        if not _tells_all(self.model.config):
            raise TypeError(
                f"model must be a ViTPose model that knows its keypoints and datasets, got "
                f"{type(self.model).__name__}: give its name, or load it with "
                f"vitpose.ViTPoseForPoseEstimation.from_pretrained."
            )
        self.image_processor = _as_own_processor(self.image_processor)
        size = (self.image_processor.size.height, self.image_processor.size.width)
        expected = tuple(self.model.config.backbone_config.image_size)
        if size != expected:
            raise ValueError(
                f"image_processor cuts crops of height and width {size}, the model takes {expected}: load both from "
                f"one folder."
            )
        _open_runtime(self.model, backend)

    def _sanitize_parameters(
        self,
        *,
        detector: str | Path | Pipeline | None = None,
        detector_threshold: float | None = None,
        detector_labels: Sequence[str] | None = None,
        dataset: str | int | None = None,
        flip_test: bool | None = None,
        threshold: float | None = None,
        timeout: float | None = None,
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        """Sort settings by the step that needs them; those that were not given keep their defaults."""
        before = {
            "detector": None if detector is None else self._as_detector(detector),
            "detector_threshold": detector_threshold,
            "detector_labels": detector_labels,
            "timeout": timeout,
            "dataset": dataset,
        }
        forward = {"dataset": dataset, "flip_test": flip_test}
        after = {"dataset": dataset, "threshold": threshold}
        return _given(before), _given(forward), _given(after)

    def _as_detector(self, detector: str | Path | Pipeline) -> Pipeline:
        """A detector's pipeline, made once for each name."""
        if not isinstance(detector, (str, Path)):
            return as_detector(detector)
        name = str(detector)
        if name not in self._detectors:
            self._detectors[name] = as_detector(name, device=self.device)
        return self._detectors[name]

    def __call__(self, inputs: Any, boxes: Any = None, **kwargs: Any) -> People | list[People] | Iterator[People]:
        """Find the people in one image or many.

        Args:
            inputs: an image (path, URL, PIL image, array or tensor), or a dict ``{"image": ..., "boxes": ...}``, the
                boxes optional; or a list, a dataset, a column of one, a generator or any other iterable of those.
            boxes: for an image its people, ``[[x, y, width, height], ...]`` in image pixels; for many images one such
                list each, in any iterable.
            kwargs: settings of the class, for this call.

        Returns:
            For an image its people, in the order of the boxes; for a list a list of those; for any other iterable an
            iterator, which reads it as it goes. A person is ``{"label": "person", "score": ..., "box": {"xmin", "ymin",
            "xmax", "ymax"}, "keypoints": [{"label": "nose", "x": ..., "y": ..., "score": ...}, ...]}`` in image pixels;
            its score is the box's (1 where given) times the mean score of its keypoints above 0.2.

        Raises:
            TypeError, ValueError: as the image processor; the message names the input by its place.
        """
        num_workers = kwargs.pop("num_workers", None) or self._num_workers or 0
        batch_size = kwargs.pop("batch_size", None) or self._batch_size or BATCH_SIZE
        defaults = (self._preprocess_params, self._forward_params, self._postprocess_params)
        steps = [old | new for old, new in zip(defaults, self._sanitize_parameters(**kwargs), strict=True)]
        self._dataset_index(steps[1].get("dataset"))  # a mistake is told before any work
        many = not isinstance(inputs, _SINGLE_INPUTS) or getattr(inputs, "ndim", 0) == 4
        if not many:
            inputs, boxes = [inputs], None if boxes is None else [boxes]
        loaded = load_images(
            inputs,
            boxes,
            do_rescale=self.image_processor.do_rescale,
            timeout=steps[0].pop("timeout", None),
            num_workers=num_workers,
        )
        people = self._predict(loaded, batch_size, *steps)
        if not many:
            return next(people)
        return list(people) if isinstance(inputs, (list, tuple, np.ndarray, Tensor)) else people

    def _predict(
        self,
        images: Iterable[LoadedImage],
        batch_size: int,
        before: dict[str, Any],
        forward: dict[str, Any],
        after: dict[str, Any],
    ) -> Iterator[People]:
        """Fill batches with people across images, and give out those of an image as soon as they are complete."""
        waiting: deque[dict[str, Any]] = deque()
        crops: list[Tensor] = []  # of waiting images' people, in their order, to be predicted
        maps: list[Tensor] = []  # of waiting images' people, in their order, predicted
        for image in chain(images, [None]):  # None: there are no more
            if image is not None:
                waiting.append(self.preprocess(image, **before))
                crops.append(waiting[-1].pop("pixel_values"))
            # images without people must not pile up behind one whose batch does not fill
            all_now = image is None or len(waiting) >= batch_size
            while _count(crops) >= batch_size or (all_now and _count(crops)):
                batch, crops = _take(crops, batch_size)
                maps.append(self.forward(batch, **forward))
            while waiting and (num_people := len(waiting[0]["labels"])) <= _count(maps):
                people = waiting.popleft()
                if num_people:
                    people["heatmaps"], maps = _take(maps, num_people)
                yield self.postprocess(people, **after) if num_people else []

    def preprocess(
        self,
        image: LoadedImage,
        detector: Pipeline | None = None,
        detector_threshold: float = DETECTOR_THRESHOLD,
        detector_labels: Sequence[str] = ("person",),
        dataset: str | int | None = None,
    ) -> dict[str, Any]:
        """Find the people of one image and cut them out.

        Returns:
            `pixel_values` `(num_people, 3, height, width)`, `boxes` `(num_people, 4)` as x, y, width, height in image
            pixels, their `box_scores` `(num_people,)`, and `labels`, a list of as many words.
        """
        height, width = image.pixels.shape[1:]
        label = self._schema(dataset).get("category", "person")
        if image.boxes is not None:
            boxes = image.boxes
        elif detector is not None:
            found = image.named(
                detect,
                detector,
                image.pixels,
                threshold=detector_threshold,
                labels=detector_labels,
                do_rescale=self.image_processor.do_rescale,
            )
            return self._cut(image, **found)
        else:
            boxes = [[0.0, 0.0, width, height]]
        (table,) = image.named(parse_boxes, [boxes])
        return self._cut(image, boxes=table, box_scores=torch.ones(len(table)), labels=[label] * len(table))

    def _cut(self, image: LoadedImage, boxes: Tensor, box_scores: Tensor, labels: list[str]) -> dict[str, Any]:
        batch = image.named(
            self.image_processor.preprocess, image.pixels, boxes=[boxes], device=self.device, dtype=self.dtype
        )
        crops = batch["pixel_values"].to(self.device)  # where there are no people, no image told the device
        return {"pixel_values": crops, "boxes": boxes, "box_scores": box_scores, "labels": labels}

    def forward(self, model_inputs: Tensor, **forward_params: Any) -> Tensor:
        """Heatmaps of crops. They stay on the model's device: decoding is fastest there."""
        with self.device_placement(), self.get_inference_context()():
            return self._forward(model_inputs.to(self.device), **forward_params)

    def _forward(self, crops: Tensor, dataset: str | int | None = None, flip_test: bool = False) -> Tensor:
        index = self._dataset_index(dataset)
        flip_index = _flip_index(self._schema(dataset)) if flip_test else None
        return predict_heatmaps(
            self.model, crops, dataset_index=index, flip_index=flip_index, use_udp=self.image_processor.use_udp
        )

    def postprocess(
        self, model_outputs: dict[str, Any], dataset: str | int | None = None, threshold: float | None = None
    ) -> People:
        """The people of one image as dicts, from what [`preprocess`] returned of them and their `heatmaps`."""
        names = self._schema(dataset)["keypoints"]
        (found,) = self.image_processor.post_process_pose_estimation(
            model_outputs["heatmaps"],
            boxes=[model_outputs["boxes"]],
            threshold=threshold,
            drop_below_threshold=threshold is not None,
        )
        return [
            {"label": label, "score": box_score * _mean_of_sure(person["scores"])} | _to_dicts(person, names)
            for label, box_score, person in zip(
                model_outputs["labels"], model_outputs["box_scores"].tolist(), found, strict=True
            )
        ]

    def save_pretrained(self, save_directory: str | os.PathLike[str], **kwargs: Any) -> None:
        """Save model and image processor, and of a model in torch the code that loads them without vitpose.

        Args:
            save_directory: Where to save; made as needed.
            kwargs: Further arguments of the `save_pretrained` of both.
        """
        folder = os.fspath(save_directory)
        os.makedirs(folder, exist_ok=True)
        implementation = f"keypoint_detection_pipeline.{KeypointDetectionPipeline.__name__}"
        entry = {"impl": implementation, "pt": ("AutoModel",), "type": "image"}
        self.model.config.custom_pipelines = {"keypoint-detection": entry}
        self.model.save_pretrained(folder, **kwargs)
        self.image_processor.save_pretrained(folder, **kwargs)
        if isinstance(self.model, PreTrainedModel):
            write_code(folder, "keypoint_detection_pipeline.py")

    @property
    def schema(self) -> Any:
        """The `KeypointSchema` of what the pipeline finds: names, edges and so on."""
        return self.model.config.get_schema(self._dataset_index(self._forward_params.get("dataset")) or 0)

    def _schema(self, dataset: str | int | None) -> dict[str, Any]:
        """The same as the config holds it; transformers' own config has it too, in a folder that vitpose saved."""
        schemas = self.model.config.keypoint_schemas
        index = self._dataset_index(dataset) or 0
        return schemas[0 if len(schemas) == 1 else index]

    def _dataset_index(self, dataset: str | int | None) -> int | None:
        """The model's index of a dataset; None for a model of one dataset."""
        config = self.model.config
        if getattr(config, "num_datasets", 1) == 1:  # also transformers' own config, which knows no datasets
            names = [config.keypoint_schemas[0]["name"]]
            if dataset not in (None, 0, *names):
                raise ValueError(f"dataset: expected {names[0]!r} or 0, the only one of this model, got {dataset!r}.")
            return None
        if dataset is None:
            names = list(config.named_datasets) or [f"0 to {config.num_datasets - 1}"]
            raise ValueError(f"This model has several datasets, say which one's keypoints to find: {', '.join(names)}.")
        return config.dataset_index(dataset)


def _given(settings: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if value is not None}


def _tells_all(config: Any) -> bool:
    """Whether a configuration knows its keypoints and datasets; transformers' own does where there are no experts."""
    if not getattr(config, "keypoint_schemas", None):
        return False
    return hasattr(config, "num_datasets") or config.backbone_config.num_experts == 1


def _as_own_processor(processor: Any) -> ViTPoseImageProcessor:
    """Ours with the same settings, from whatever AutoImageProcessor made of the folder."""
    if type(processor).__name__ == ViTPoseImageProcessor.__name__:  # also a class that came with a Hub repository
        return processor
    if not type(processor).__name__.startswith("VitPoseImageProcessor"):
        raise TypeError(f"image_processor must be one of ViTPose, got {type(processor).__name__}.")
    known = ViTPoseImageProcessorKwargs.__annotations__
    return ViTPoseImageProcessor(**{name: value for name, value in processor.to_dict().items() if name in known})


def _open_runtime(model: Any, backend: str | None) -> None:
    """Read an exported model's file, so that what is wrong with it is told before the first image."""
    if hasattr(model, "open_runtime"):
        model.open_runtime(backend)
    elif backend is not None:
        raise ValueError(
            f"backend={backend!r} is for exported models, got {type(model).__name__}: make one of it with vitpose "
            f"export, or leave backend out."
        )


def _count(parts: list[Tensor]) -> int:
    return sum(map(len, parts))


def _take(parts: list[Tensor], count: int) -> tuple[Tensor, list[Tensor]]:
    """The first `count` rows of tensors joined, and the rest."""
    joined = parts[0] if len(parts) == 1 else torch.cat(parts)
    return joined[:count], [joined[count:]]


def _flip_index(schema: dict[str, Any]) -> list[int]:
    """For each keypoint the one that it becomes in a mirror."""
    index = list(range(len(schema["keypoints"])))
    for left, right in schema["flip_pairs"]:
        index[left], index[right] = right, left
    return index


def _mean_of_sure(scores: Tensor) -> float:
    """Mean of the keypoint scores above 0.2, 0 where there is none (released configs)."""
    sure = scores[scores > SURE_SCORE]
    return sure.mean().item() if len(sure) else 0.0


def _to_dicts(person: dict[str, Tensor], names: Sequence[str]) -> dict[str, Any]:
    corners = dict(zip(("xmin", "ymin", "xmax", "ymax"), person["bbox"].tolist(), strict=True))
    rows = zip(person["labels"].tolist(), person["keypoints"].tolist(), person["scores"].tolist(), strict=True)
    keypoints = [{"label": names[index], "x": x, "y": y, "score": score} for index, (x, y), score in rows]
    return {"box": corners, "keypoints": keypoints}
