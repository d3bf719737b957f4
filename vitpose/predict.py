"""Photos in, people out: what `vitpose predict` does."""

import json
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageOps
from tqdm.auto import tqdm
from transformers import pipeline

from .modeling.configuration_vitpose import ViTPoseConfig
from .modeling.keypoint_schemas import KeypointSchema
from .modeling.modeling_vitpose import ViTPoseForPoseEstimation
from .processing.drawing import draw_poses
from .processing.image_processing_vitpose import ViTPoseImageProcessor
from .training.files import whole_file
from .training.packaged import resolve_model

logger = logging.getLogger(__name__)

PERSON_CATEGORY = 1
BATCH_SIZE = 32  # people in one forward pass

Boxes = list[list[float]]


@dataclass(kw_only=True)
class Predictor:
    """A model and its processor, ready to predict the people in given boxes.

    Args:
        model: In evaluation mode.
        processor: Cuts the boxes out and brings keypoints back into image pixels.
        dataset_index: Whose keypoints to predict, in the order of the config's datasets.
    """

    model: ViTPoseForPoseEstimation
    processor: ViTPoseImageProcessor
    dataset_index: int = 0

    @classmethod
    def from_pretrained(cls, name: str, *, dataset: str | None = None) -> "Predictor":
        """Load a folder or Hub id, or the checkpoint inside the package by the name `tiny`.

        Args:
            name: What to load.
            dataset: Name or number of the dataset whose keypoints to predict; needed where the model has several.
        """
        source = resolve_model(name)
        model = ViTPoseForPoseEstimation.from_pretrained(source).eval()
        device = "cuda" if torch.cuda.is_available() else "cpu"
        return cls(
            model=model.to(device),
            processor=ViTPoseImageProcessor.from_pretrained(source),
            dataset_index=_dataset_index(model.config, dataset),
        )

    @property
    def schema(self) -> KeypointSchema:
        """What the predicted keypoints are."""
        return self.model.config.get_schema(self.dataset_index)

    @torch.inference_mode()
    def __call__(self, image: Image.Image, boxes: Boxes) -> list[dict[str, torch.Tensor]]:
        """One dict a box: keypoints (K, 2), scores (K,), labels (K,), bbox (4,) xyxy, all in image pixels."""
        if not boxes:
            return []
        crops = self.processor.preprocess(image, boxes=[boxes], return_tensors="pt")["pixel_values"]
        parts = (part.to(self.model.device) for part in crops.split(BATCH_SIZE))
        heatmaps = [self.model(part, dataset_index=self.dataset_index).heatmaps for part in parts]
        outputs = type("Outputs", (), {"heatmaps": torch.cat(heatmaps)})
        return self.processor.post_process_pose_estimation(outputs, boxes=[boxes])[0]


def _dataset_index(config: ViTPoseConfig, dataset: str | None) -> int:
    if dataset is None:
        if config.num_datasets > 1:
            names = config.dataset_names or [f"0 to {config.num_datasets - 1}"]
            raise ValueError(f"This model has several datasets, say which one's keypoints to find: {', '.join(names)}.")
        return 0
    return config.dataset_index(int(dataset) if dataset.isdecimal() else dataset)


def read_image_file(path: Path) -> Image.Image:
    """A photo as RGB, turned upright as its EXIF data says."""
    if not path.is_file():
        raise FileNotFoundError(f"There is no image {path}.")
    try:
        with Image.open(path) as image:
            return ImageOps.exif_transpose(image).convert("RGB")
    except OSError as error:
        raise ValueError(f"{path} cannot be read as an image: {error}.") from error


def read_boxes(path: Path, images: Sequence[Path]) -> dict[Path, Boxes]:
    """Boxes of each image from a JSON file: a list of `{"file_name": ..., "bbox": [x, y, width, height]}`.

    Raises:
        ValueError: The file is something else, or an image has no entry; the message names it.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}.") from error
    entries = content if isinstance(content, list) else [None]
    if not all(isinstance(entry, dict) and {"file_name", "bbox"} <= entry.keys() for entry in entries):
        raise ValueError(f'{path}: expected a list of {{"file_name": ..., "bbox": [x, y, width, height]}}.')
    boxes = {image: [entry["bbox"] for entry in content if entry["file_name"] == image.name] for image in images}
    missing = [image.name for image, found in boxes.items() if not found]
    if missing:
        raise ValueError(f"{path} has no box for {', '.join(missing)}. Add one, or leave these images out.")
    return boxes


def detect_boxes(detector: str, images: Iterable[Path], *, threshold: float) -> dict[Path, Boxes]:
    """Boxes of the people that a transformers object-detection model finds in each image."""
    detect = pipeline("object-detection", model=detector)
    boxes = {}
    for path in tqdm(list(images), desc="detect", unit=" images"):
        found = detect(read_image_file(path), threshold=threshold)
        people = [entry["box"] for entry in found if entry["label"] == "person"]
        boxes[path] = [
            [box["xmin"], box["ymin"], box["xmax"] - box["xmin"], box["ymax"] - box["ymin"]] for box in people
        ]
    return boxes


def whole_image_boxes(images: Iterable[Path]) -> dict[Path, Boxes]:
    """One box an image: the image itself."""
    return {path: [[0.0, 0.0, *map(float, read_image_file(path).size)]] for path in images}


def predict_files(predictor: Predictor, boxes: dict[Path, Boxes], out: Path) -> Path:
    """Predict every image, write `predictions.json` and one drawn picture an image into `out`.

    The JSON is COCO's results form, one entry a person: `image_id` (the image's number, from 0), `file_name`,
    `category_id` 1, `bbox` [x, y, width, height], `keypoints` x, y, score a keypoint, `score` their mean.

    Returns:
        The path of the JSON file.
    """
    _check_names(boxes)
    out.mkdir(parents=True, exist_ok=True)
    results = []
    for image_id, (path, own) in enumerate(tqdm(boxes.items(), desc="predict", unit=" images")):
        image = read_image_file(path)
        try:
            people = predictor(image, own)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
        with whole_file(out / f"{path.stem}_pose.png") as picture:
            draw_poses(image, people, predictor.schema).save(picture)
        results += [_to_result(image_id, path, box, person) for box, person in zip(own, people, strict=True)]
    with whole_file(out / "predictions.json") as file:
        file.write_text(json.dumps(results, indent=1), encoding="utf-8")
    logger.info("%d people in %d images: %s", len(results), len(boxes), out / "predictions.json")
    return out / "predictions.json"


def _to_result(image_id: int, path: Path, box: list[float], person: dict[str, torch.Tensor]) -> dict[str, Any]:
    rows = torch.cat([person["keypoints"], person["scores"][:, None]], dim=1)  # (K, 3)
    return {
        "image_id": image_id,
        "file_name": path.name,
        "category_id": PERSON_CATEGORY,
        "bbox": [round(float(value), 2) for value in box],
        "keypoints": [round(value, 4) for value in rows.flatten().tolist()],
        "score": round(float(person["scores"].mean()), 4),
    }


def _check_names(paths: Iterable[Path]) -> None:
    seen: dict[str, Path] = {}
    for path in paths:
        other = seen.setdefault(path.stem, path)
        if other is not path:
            raise ValueError(f"{other} and {path} would write the same picture, {path.stem}_pose.png: rename one.")
