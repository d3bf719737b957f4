"""The pipeline `keypoint-detection`: photos in, people with named keypoints out.

People come from given boxes, from an object-detection model, or one fills the image; people from several images are
batched together.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from transformers import Pipeline, PreTrainedModel, pipeline

from vitpose.base.errors import placed
from vitpose.modeling.configuration_vitpose import ViTPoseConfig
from vitpose.modeling.keypoint_schemas import KeypointSchema
from vitpose.modeling.saving_vitpose import write_code

from .annotations_vitpose import parse_image_boxes
from .detection_vitpose import as_detector, detect
from .image_processing_vitpose import ViTPoseImageProcessor
from .images_vitpose import LoadedImage, load_images
from .people_vitpose import Detections, People
from .prediction_vitpose import Crops, PosePredictor, check_fits, cut_crops
from .processor_settings_vitpose import ViTPoseImageProcessorKwargs, reject_unknown

BATCH_SIZE = 32  # people in one forward pass
DETECTOR_THRESHOLD = 0.3

_SINGLE_INPUTS = (str, Path, Image.Image, np.ndarray, Tensor, dict)


@dataclass(frozen=True, kw_only=True)
class PipelineOptions:
    """What a call of the pipeline may choose; see [`KeypointDetectionPipeline`]."""

    detector: Pipeline | None = None
    detector_threshold: float = DETECTOR_THRESHOLD
    detector_labels: Sequence[str] = ("person",)
    dataset: str | int | None = None
    flip_test: bool = False
    threshold: float | None = None
    timeout: float | None = None
    batch_size: int = BATCH_SIZE
    num_workers: int = 0


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
        model: A folder, a Hub id or a model.
        image_processor: The model's own where it is loaded by name.
        backend: For models that `vitpose export` wrote, "onnxruntime" or "openvino"; what it was exported for by
            default.
        detector: Finds the people of images that come without boxes: an object-detection pipeline, or the folder or Hub
            id of such a model. Without it, one person fills each image.
        detector_threshold: Least score of a detected person, 0.3 by default.
        detector_labels: What counts as a person in the detector's words, ``["person"]`` by default.
        dataset: Name or index of the dataset whose keypoints to find; needed where the model has several heads.
        flip_test: Average the heatmaps with those of the mirrored crops, as benchmarks do, at twice the time.
        threshold: Keypoints that do not score above it are left out; None keeps all.
        batch_size: People in one forward pass, 32 by default; they may come from several images.
        num_workers: Processes that read images, 0 by default.
        timeout: Seconds to wait for an image from a URL; None waits.

    All of them but the first three can be given when the pipeline is made, and for a single call.
    """

    image_processor: ViTPoseImageProcessor
    _load_processor: Any = False
    _load_image_processor: Any = True
    _load_feature_extractor: Any = False
    _load_tokenizer: Any = False

    def __init__(self, *args: Any, backend: str | None = None, **kwargs: Any) -> None:
        self._detectors: dict[str, Pipeline] = {}
        super().__init__(*args, **kwargs)
        config = self.model.config
        # transformers' own configuration knows its dataset where there are no experts
        knows_datasets = hasattr(config, "num_datasets") or config.backbone_config.num_experts == 1
        if not (getattr(config, "keypoint_schemas", None) and knows_datasets):
            raise TypeError(
                f"model must be a ViTPose model that knows its keypoints and datasets, got "
                f"{type(self.model).__name__}: give its name, or load it with "
                f"vitpose.ViTPoseForPoseEstimation.from_pretrained."
            )
        self.image_processor = _as_own_processor(self.image_processor)
        self._settings, self._processor_state = self.image_processor.settings, vars(self.image_processor).copy()
        check_fits(self._settings, self.model.config, "The pipeline")
        self._predictors: dict[tuple[Any, ...], PosePredictor] = {}
        exported: Any = self.model
        if hasattr(exported, "open_runtime"):  # what is wrong with its file is told before the first image
            exported.open_runtime(backend)
        elif backend is not None:
            raise ValueError(
                f"backend={backend!r} is for exported models, got {type(self.model).__name__}: make one of it with "
                f"vitpose export, or leave backend out."
            )

    @classmethod
    def from_pretrained(cls, source: str, **settings: Any) -> "KeypointDetectionPipeline":
        """The pipeline of a folder or of a repository on the Hub, whose own copy of this class is not asked for.

        Args:
            source: The folder or the repository's id.
            settings: Those of the class, and of `transformers.pipeline`.
        """
        load: Any = pipeline  # transformers' types know its own tasks alone
        return load("keypoint-detection", model=source, pipeline_class=cls, **settings)

    def _sanitize_parameters(
        self, *, detector: str | Path | Pipeline | None = None, **settings: Any
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        """All settings that were given, checked by name; transformers keeps them by step, here the first has all."""
        if not settings.keys() <= PipelineOptions.__annotations__.keys():
            reject_unknown(settings, PipelineOptions, "keypoint-detection")
        given = {name: value for name, value in settings.items() if value is not None}
        if detector is not None:
            given["detector"] = self._as_detector(detector)
        return given, {}, {}

    def _as_detector(self, detector: str | Path | Pipeline) -> Pipeline:
        """A detector's pipeline, made once for each name."""
        if not isinstance(detector, (str, Path)):
            return as_detector(detector)
        name = str(detector)
        if name not in self._detectors:
            self._detectors[name] = as_detector(name, device=self.device)
        return self._detectors[name]

    def __call__(  # type: ignore[override]  # boxes have a place of their own
        self, inputs: Any, boxes: Any = None, **kwargs: Any
    ) -> Any:
        """Find the people in one image or many.

        Args:
            inputs: An image (path, URL, PIL image, array or tensor), or a dict ``{"image": ..., "boxes": ...}``, the
                boxes optional; or a list, a dataset, a column of one, a generator or any other iterable of those.
            boxes: For an image its people, ``[[x, y, width, height], ...]`` in image pixels; for many images one such
                list each, in any iterable.
            kwargs: Settings of the class, for this call.

        Returns:
            For an image its people, in the order of the boxes; for a list a list of those; for any other iterable an
            iterator, which reads it as it goes. A person is ``{"label": "person", "score": ..., "box": {"xmin", "ymin",
            "xmax", "ymax"}, "keypoints": [{"label": "nose", "x": ..., "y": ..., "score": ...}, ...]}`` in image pixels;
            its score is the box's (1 where given) times the mean score of its keypoints above 0.2.

        Raises:
            TypeError, ValueError: As the image processor; the message names the input by its place.
        """
        options = self.options(**kwargs)
        return self._find(inputs, boxes, options, lambda people: people.to_dicts(options.threshold))

    def find_people(self, inputs: Any, boxes: Any = None, **kwargs: Any) -> Any:
        """As calling the pipeline, with the people of each image as [`People`], all of their keypoints included."""
        return self._find(inputs, boxes, self.options(**kwargs), lambda people: people)

    def options(self, **changes: Any) -> PipelineOptions:
        """The settings of a call: its own, those of the pipeline, else the defaults."""
        own = {"batch_size": self._batch_size, "num_workers": self._num_workers, **self._preprocess_params}
        chosen = {**own, **self._sanitize_parameters(**changes)[0]}
        return PipelineOptions(**{name: value for name, value in chosen.items() if value is not None})

    def _find(self, inputs: Any, boxes: Any, options: PipelineOptions, shown: Callable[[People], Any]) -> Any:
        """The people of one image, of a list of images, or an iterator, as they are to be shown."""
        predictor = self.predictor(options.dataset, flip_test=options.flip_test)
        is_one = isinstance(inputs, _SINGLE_INPUTS) and getattr(inputs, "ndim", 0) != 4
        images = load_images(
            [inputs] if is_one else inputs,
            [boxes] if is_one and boxes is not None else boxes,
            do_rescale=predictor.settings.do_rescale,
            timeout=options.timeout,
            num_workers=options.num_workers,
        )
        crops = self._cut_all(images, predictor, options)
        results = (shown(people) for _, people in predictor.stream(crops, batch_size=options.batch_size))
        if is_one:
            return next(results)
        return list(results) if isinstance(inputs, (list, tuple, np.ndarray, Tensor)) else results

    def predictor(self, dataset: str | int | None = None, *, flip_test: bool | None = None) -> PosePredictor:
        """What finds keypoints in boxes, for who reads photos and boxes otherwise; see [`PosePredictor`].

        Args:
            dataset: Whose keypoints to find, where the model has several; by default the pipeline's setting.
            flip_test: Average with the heatmaps of the mirrored crops; by default the pipeline's setting.
        """
        dataset = self._preprocess_params.get("dataset") if dataset is None else dataset
        flip_test = self._preprocess_params.get("flip_test", False) if flip_test is None else flip_test
        if vars(self.image_processor) != self._processor_state:  # a user may have changed a setting since
            self._settings, self._processor_state = self.image_processor.settings, vars(self.image_processor).copy()
            self._predictors = {}
        key = (dataset, flip_test, self.device, self.dtype)
        if key not in self._predictors:
            index, schema = _select_dataset(self.model.config, dataset)
            self._predictors[key] = PosePredictor(
                models=self.model,
                settings=self._settings,
                schema=schema,
                dataset_index=index,
                flip_test=flip_test,
                device=self.device,
                dtype=self.dtype or torch.float32,
            )
        return self._predictors[key]

    def _cut_all(
        self, images: Iterator[LoadedImage], predictor: PosePredictor, options: PipelineOptions
    ) -> Iterator[tuple[int, Crops, Detections]]:
        """Each image's number, its crops and what they are of; a mistake names its image by its place in the input."""
        for image in images:
            try:
                crops, found = self.preprocess(image, predictor=predictor, options=options)
            except (TypeError, ValueError, OSError) as error:
                raise placed(error, "inputs", image.number) from error
            yield image.number, crops, found

    def preprocess(  # type: ignore[override]  # a step takes and gives what the path has
        self, image: LoadedImage, *, predictor: PosePredictor, options: PipelineOptions
    ) -> tuple[Crops, Detections]:
        """Find the people of one image and cut them out."""
        height, width = image.pixels.shape[1:]
        if image.boxes is None and options.detector is not None:
            found = detect(
                options.detector,
                image.pixels,
                threshold=options.detector_threshold,
                labels=options.detector_labels,
                do_rescale=predictor.settings.do_rescale,
            )
        else:
            boxes = [[0.0, 0.0, width, height]] if image.boxes is None else image.boxes
            found = Detections.given(parse_image_boxes(boxes), predictor.schema.category)
        crops = cut_crops(
            image.pixels, found.boxes_xywh, predictor.settings, device=predictor.device, dtype=predictor.dtype
        )
        return crops, found

    def _forward(  # type: ignore[override]  # as preprocess
        self, model_inputs: Crops, *, predictor: PosePredictor
    ) -> Tensor:
        """Heatmaps of crops; they stay on the model's device."""
        return predictor.heatmaps(model_inputs.pixel_values)

    def postprocess(  # type: ignore[override]  # as preprocess
        self, model_outputs: People, threshold: float | None = None
    ) -> list[dict[str, Any]]:
        """The people of one image as dicts."""
        return model_outputs.to_dicts(threshold)

    def save_pretrained(self, save_directory: str | os.PathLike[str], **kwargs: Any) -> None:
        """Save model and image processor, and of a model in torch the code that loads them without vitpose.

        Args:
            save_directory: Where to save; made as needed.
            kwargs: Further arguments of the `save_pretrained` of both.
        """
        folder = os.fspath(save_directory)
        os.makedirs(folder, exist_ok=True)
        if isinstance(self.model, PreTrainedModel):
            implementation = f"keypoint_detection_pipeline.{KeypointDetectionPipeline.__name__}"
            entry = {"impl": implementation, "pt": ("AutoModel",), "type": "image"}
            self.model.config.custom_pipelines = {"keypoint-detection": entry}
            write_code(folder, "keypoint_detection_pipeline.py")
        self.model.save_pretrained(folder, **kwargs)
        self.image_processor.save_pretrained(folder, **kwargs)

    @property
    def schema(self) -> Any:
        """The `KeypointSchema` of what the pipeline finds: names, edges and so on."""
        return self.predictor().schema


def _as_own_processor(processor: Any) -> ViTPoseImageProcessor:
    """Ours with the same settings, from whatever AutoImageProcessor made of the folder."""
    if type(processor).__name__ == ViTPoseImageProcessor.__name__:  # also a class that came with a Hub repository
        return processor
    if not type(processor).__name__.startswith("VitPoseImageProcessor"):
        raise TypeError(f"image_processor must be one of ViTPose, got {type(processor).__name__}.")
    known = ViTPoseImageProcessorKwargs.__annotations__
    return ViTPoseImageProcessor(**{name: value for name, value in processor.to_dict().items() if name in known})


def _select_dataset(config: Any, dataset: str | int | None) -> tuple[int | None, KeypointSchema]:
    """The model's index of a dataset, None for a model of one, and its keypoints.

    Args:
        config: Of a pose model of vitpose, or of transformers in a folder that vitpose saved.
        dataset: Name or index; may be None where the model has one head.

    Raises:
        ValueError: The model has no such dataset, or several and none is named.
    """
    if getattr(config, "num_datasets", 1) == 1:  # also transformers' own config, which knows no datasets
        schema = _only_schema(config)
        if dataset not in (None, 0, schema.name):
            raise ValueError(f"dataset: expected {schema.name!r} or 0, the only one of this model, got {dataset!r}.")
        return None, schema
    if dataset is None and config.default_dataset_index is None:
        names = list(config.named_datasets) or [f"0 to {config.num_datasets - 1}"]
        raise ValueError(f"This model has several datasets, say which one's keypoints to find: {', '.join(names)}.")
    index = config.dataset_index(dataset)
    return index, config.get_schema(index)


def _only_schema(config: Any) -> KeypointSchema:
    """The keypoints of a model with one head."""
    own = config if hasattr(config, "get_schema") else ViTPoseConfig.from_dict(config.to_dict())
    schema: KeypointSchema = own.get_schema()
    return schema
