"""Results that the papers report for each size of ViTPose, printed in cards beside measured metrics."""

from dataclasses import dataclass

from vitpose.modeling.configuration_vitpose import ViTPoseConfig

# (width, blocks) of the sizes in the papers
SIZES = {(384, 12): "S", (768, 12): "B", (1024, 24): "L", (1280, 32): "H", (1408, 40): "G"}
VITPOSE = "[ViTPose](https://arxiv.org/abs/2204.12484)"
VITPOSE_PLUS = "[ViTPose++](https://arxiv.org/abs/2212.04246)"
RELEASE = "the authors' release"
COCO_SETTING = "val2017, 256x192, boxes of a detector of 56 AP, flip test"


@dataclass(frozen=True, kw_only=True)
class PaperResult:
    """A published result, in percent.

    Args:
        model: Size and, where it matters, decoder and training data.
        metric: Name of the metric.
        value: The value as printed.
        setting: Evaluation setting, as far as it is stated.
        source: The paper, as a Markdown link.
    """

    model: str
    metric: str
    value: float
    setting: str
    source: str


# COCO only: size -> AP, AR with the classic and with the simple decoder
_COCO = {
    "S": ((73.8, 79.2), (73.5, 78.9), RELEASE),
    "B": ((75.8, 81.1), (75.5, 80.9), VITPOSE),
    "L": ((78.3, 83.5), (78.2, 83.4), VITPOSE),
    "H": ((79.1, 84.1), (78.9, 84.0), VITPOSE),
}
# schema -> metric, setting, source, values by size
_OTHERS: dict[str, tuple[str, str, str, dict[str, float]]] = {
    "mpii": ("PCKh", "MPII", VITPOSE, {"B": 93.3, "L": 94.0, "H": 94.1}),
    "ap10k": ("AP", "AP-10K", VITPOSE_PLUS, {"S": 71.4, "B": 74.5, "L": 80.4, "H": 82.4}),
    "apt36k": ("AP", "APT-36K", VITPOSE_PLUS, {"S": 74.2, "B": 75.9, "L": 80.8, "H": 82.3}),
    "coco_wholebody": ("AP", "COCO-WholeBody", VITPOSE_PLUS, {"S": 54.4, "B": 57.4, "L": 60.6, "H": 61.2}),
    "aic": ("AP", "AI Challenger", VITPOSE_PLUS, {"S": 29.7, "B": 31.8, "L": 34.3, "H": 34.8}),
    "interhand2d": ("AUC", "InterHand2.6M", VITPOSE_PLUS, {"S": 86.5, "B": 87.0, "L": 87.5, "H": 87.6}),
    "crowdpose": ("AP", "CrowdPose", VITPOSE_PLUS, {"B": 74.7, "L": 76.6, "H": 76.3}),
}


def paper_results(model_config: ViTPoseConfig, schema: str) -> list[PaperResult]:
    """Published results for a model of this size on the dataset of a keypoint schema; empty where there are none."""
    backbone = model_config.backbone_config
    size = SIZES.get((backbone.hidden_size, backbone.num_hidden_layers), "")
    if schema == "coco":
        return _coco_results(size, simple_decoder=model_config.use_simple_decoder)
    metric, setting, source, values = _OTHERS.get(schema, ("", "", "", {}))
    if size not in values:
        return []
    return [PaperResult(model=f"ViTPose-{size}", metric=metric, value=values[size], setting=setting, source=source)]


def _coco_results(size: str, *, simple_decoder: bool) -> list[PaperResult]:
    if size == "G":
        setting = "val2017, 576x432, boxes of a detector of 68.5 AP"
        return [PaperResult(model="ViTPose-G", metric="AP", value=81.0, setting=setting, source=VITPOSE)]
    if size not in _COCO:
        return []
    classic, simple, source = _COCO[size]
    model = f"ViTPose-{size}, {'simple' if simple_decoder else 'classic'} decoder, COCO only"
    return [
        PaperResult(model=model, metric=metric, value=value, setting=f"COCO {COCO_SETTING}", source=source)
        for metric, value in zip(("AP", "AR"), simple if simple_decoder else classic, strict=True)
    ]
