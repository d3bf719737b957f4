"""Registration with transformers' Auto classes: entries are added, none of transformers' own is replaced."""

from transformers import (
    AutoBackbone,
    AutoConfig,
    AutoModel,
    AutoModelForPoseEstimation,
    VitPoseConfig,
)

from .modeling.configuration_vitpose import ViTPoseConfig
from .modeling.configuration_vitpose_backbone import ViTPoseBackboneConfig
from .modeling.modeling_vitpose import ViTPoseForPoseEstimation, ViTPoseFromStockConfig
from .modeling.modeling_vitpose_backbone import ViTPoseBackbone


def register() -> None:
    """Make `AutoModel` and its siblings know the classes of this package."""
    AutoConfig.register(ViTPoseConfig.model_type, ViTPoseConfig, exist_ok=True)
    AutoConfig.register(ViTPoseBackboneConfig.model_type, ViTPoseBackboneConfig, exist_ok=True)
    AutoModelForPoseEstimation.register(ViTPoseConfig, ViTPoseForPoseEstimation, exist_ok=True)
    AutoModel.register(ViTPoseConfig, ViTPoseForPoseEstimation, exist_ok=True)
    AutoModel.register(VitPoseConfig, ViTPoseFromStockConfig, exist_ok=True)
    AutoBackbone.register(ViTPoseBackboneConfig, ViTPoseBackbone, exist_ok=True)
