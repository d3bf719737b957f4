"""Registration with transformers' Auto classes and pipelines: entries are added, none of transformers' is replaced."""

from transformers import (
    AutoBackbone,
    AutoConfig,
    AutoImageProcessor,
    AutoModel,
    AutoModelForPoseEstimation,
    AutoModelForPreTraining,
    VitPoseConfig,
)
from transformers.pipelines import PIPELINE_REGISTRY

from .export.model import ExportedModel, ViTPoseExportedConfig
from .modeling.configuration_vitpose import ViTPoseConfig
from .modeling.configuration_vitpose_backbone import ViTPoseBackboneConfig
from .modeling.configuration_vitpose_mim import ViTPoseMaskedImageModelingConfig
from .modeling.modeling_vitpose import ViTPoseForPoseEstimation, ViTPoseFromStockConfig
from .modeling.modeling_vitpose_backbone import ViTPoseBackbone
from .modeling.modeling_vitpose_mim import ViTPoseForMaskedImageModeling
from .processing.image_processing_vitpose import ViTPoseImageProcessor
from .processing.keypoint_detection_pipeline import KeypointDetectionPipeline

PIPELINE_TASK = "keypoint-detection"


def register() -> None:
    """Make `AutoModel` and its siblings, and `pipeline`, know the classes of this package."""
    AutoConfig.register(ViTPoseConfig.model_type, ViTPoseConfig, exist_ok=True)
    AutoConfig.register(ViTPoseBackboneConfig.model_type, ViTPoseBackboneConfig, exist_ok=True)
    AutoConfig.register(ViTPoseMaskedImageModelingConfig.model_type, ViTPoseMaskedImageModelingConfig, exist_ok=True)
    AutoConfig.register(ViTPoseExportedConfig.model_type, ViTPoseExportedConfig, exist_ok=True)
    AutoModelForPoseEstimation.register(ViTPoseConfig, ViTPoseForPoseEstimation, exist_ok=True)
    AutoModel.register(ViTPoseConfig, ViTPoseForPoseEstimation, exist_ok=True)
    AutoModel.register(VitPoseConfig, ViTPoseFromStockConfig, exist_ok=True)
    AutoModel.register(ViTPoseExportedConfig, ExportedModel, exist_ok=True)
    for auto_class in (AutoModel, AutoModelForPreTraining):
        auto_class.register(ViTPoseMaskedImageModelingConfig, ViTPoseForMaskedImageModeling, exist_ok=True)
    AutoBackbone.register(ViTPoseBackboneConfig, ViTPoseBackbone, exist_ok=True)
    AutoImageProcessor.register(ViTPoseConfig, image_processor_classes={"pil": ViTPoseImageProcessor}, exist_ok=True)
    if PIPELINE_TASK not in PIPELINE_REGISTRY.supported_tasks:
        PIPELINE_REGISTRY.register_pipeline(
            PIPELINE_TASK, pipeline_class=KeypointDetectionPipeline, pt_model=AutoModel, type="image"
        )
