"""ViTPose and ViTPose++ for the Hugging Face ecosystem: train, evaluate, predict, publish.

Importing it adds the models and the processor to transformers' Auto classes. The public names below are imported on
first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .auto import register

if TYPE_CHECKING:
    from . import data, metrics
    from .base.errors import PlacedError
    from .base.files import TINY_CHECKPOINT
    from .estimator import PoseEstimator, load
    from .export.convert_data import convert_data
    from .export.export import export_model
    from .export.model import ExportedModel
    from .hub_cards.cards.card import write_model_card
    from .hub_cards.cards.pretraining_card import write_pretraining_card
    from .hub_cards.publish.publishing import publish
    from .modeling.configuration_vitpose import ViTPoseConfig
    from .modeling.configuration_vitpose_backbone import ViTPoseBackboneConfig
    from .modeling.configuration_vitpose_mim import ViTPoseMaskedImageModelingConfig
    from .modeling.convert.conversion import convert_checkpoint
    from .modeling.convert.pretrained_backbones import load_pretrained_backbone
    from .modeling.keypoint_schemas import KeypointSchema, get_keypoint_schema
    from .modeling.loss_vitpose import heatmap_loss
    from .modeling.modeling_vitpose import ViTPoseForPoseEstimation
    from .modeling.modeling_vitpose_backbone import ViTPoseBackbone
    from .modeling.modeling_vitpose_mim import ViTPoseForMaskedImageModeling
    from .processing.drawing import draw_poses
    from .processing.drawing_legend import draw_legend
    from .processing.image_processing_vitpose import ViTPoseImageProcessor
    from .processing.keypoint_detection_pipeline import KeypointDetectionPipeline
    from .processing.people_vitpose import People
    from .processing.prediction_vitpose import predict_heatmaps
    from .training.data.loading import read_dataset
    from .training.metrics.coco import coco_keypoint_metrics
    from .training.metrics.modules import load_metric
    from .training.synthetic.people import SyntheticPeople

__version__ = "0.1.0"

__all__ = [
    "TINY_CHECKPOINT",
    "ExportedModel",
    "KeypointDetectionPipeline",
    "KeypointSchema",
    "People",
    "PlacedError",
    "PoseEstimator",
    "SyntheticPeople",
    "ViTPoseBackbone",
    "ViTPoseBackboneConfig",
    "ViTPoseConfig",
    "ViTPoseForMaskedImageModeling",
    "ViTPoseForPoseEstimation",
    "ViTPoseImageProcessor",
    "ViTPoseMaskedImageModelingConfig",
    "__version__",
    "coco_keypoint_metrics",
    "convert_checkpoint",
    "convert_data",
    "data",
    "draw_legend",
    "draw_poses",
    "export_model",
    "get_keypoint_schema",
    "heatmap_loss",
    "load",
    "load_metric",
    "load_pretrained_backbone",
    "metrics",
    "predict_heatmaps",
    "publish",
    "read_dataset",
    "write_model_card",
    "write_pretraining_card",
]

_MODULES = ("data", "metrics")
_HOMES = {
    "TINY_CHECKPOINT": "base.files",
    "ExportedModel": "export.model",
    "KeypointDetectionPipeline": "processing.keypoint_detection_pipeline",
    "KeypointSchema": "modeling.keypoint_schemas",
    "People": "processing.people_vitpose",
    "PlacedError": "base.errors",
    "PoseEstimator": "estimator",
    "SyntheticPeople": "training.synthetic.people",
    "ViTPoseBackbone": "modeling.modeling_vitpose_backbone",
    "ViTPoseBackboneConfig": "modeling.configuration_vitpose_backbone",
    "ViTPoseConfig": "modeling.configuration_vitpose",
    "ViTPoseForMaskedImageModeling": "modeling.modeling_vitpose_mim",
    "ViTPoseForPoseEstimation": "modeling.modeling_vitpose",
    "ViTPoseImageProcessor": "processing.image_processing_vitpose",
    "ViTPoseMaskedImageModelingConfig": "modeling.configuration_vitpose_mim",
    "coco_keypoint_metrics": "training.metrics.coco",
    "convert_checkpoint": "modeling.convert.conversion",
    "convert_data": "export.convert_data",
    "draw_legend": "processing.drawing_legend",
    "draw_poses": "processing.drawing",
    "export_model": "export.export",
    "get_keypoint_schema": "modeling.keypoint_schemas",
    "heatmap_loss": "modeling.loss_vitpose",
    "load": "estimator",
    "load_metric": "training.metrics.modules",
    "load_pretrained_backbone": "modeling.convert.pretrained_backbones",
    "predict_heatmaps": "processing.prediction_vitpose",
    "publish": "hub_cards.publish.publishing",
    "read_dataset": "training.data.loading",
    "write_model_card": "hub_cards.cards.card",
    "write_pretraining_card": "hub_cards.cards.pretraining_card",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f".{name}", __name__)
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; public names: {', '.join(__all__)}")
    value = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))


register()
