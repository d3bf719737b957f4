"""Small models with random weights in the form of those that are published: transformers' own classes save them."""

import json
from pathlib import Path

import torch
from transformers import DFineConfig, DFineForObjectDetection, HGNetV2Config, VitPoseConfig, VitPoseForPoseEstimation
from transformers.models.rt_detr.image_processing_pil_rt_detr import RTDetrImageProcessorPil

# As the release of transformers that the published ViTPose++ models were saved with writes them.
FILES_OF_OTHERS = Path(__file__).parent.parent / "modeling" / "saved_by_transformers" / "4.48.3.json"
NUM_PEOPLE = 2  # that the detector finds in every photo


def save_stock_pose(folder: Path) -> Path:
    """ViTPose++ as it is published: six experts, and the head of the first dataset."""
    files = json.loads(FILES_OF_OTHERS.read_text())
    files["config"]["backbone_config"]["num_experts"] = 6
    torch.manual_seed(0)
    VitPoseForPoseEstimation(VitPoseConfig.from_dict(files["config"])).save_pretrained(folder)
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


def save_detector(folder: Path) -> Path:
    """A D-FINE that finds two people with a score of 0.9 in every photo, at places that mean nothing."""
    torch.manual_seed(0)
    stages = {"stage_in_channels": [8] * 4, "stage_mid_channels": [8] * 4, "stage_out_channels": [8] * 4}
    backbone = HGNetV2Config(
        **{"depths": [1] * 4, "embedding_size": 8, "hidden_sizes": [8] * 4, "stem_channels": [3, 8, 8], **stages},
        **{"stage_num_blocks": [1] * 4, "stage_numb_of_layers": [1] * 4},
        out_features=["stage2", "stage3", "stage4"],
    )
    config = DFineConfig(
        backbone_config=backbone,
        **{"encoder_hidden_dim": 16, "encoder_in_channels": [8] * 3, "encoder_ffn_dim": 16, "hidden_expansion": 0.5},
        **{"d_model": 16, "decoder_in_channels": [16] * 3, "decoder_ffn_dim": 16, "decoder_layers": 2},
        **{"encoder_attention_heads": 2, "decoder_attention_heads": 2, "decoder_n_points": [2] * 3},
        **{"num_queries": NUM_PEOPLE, "num_denoising": 0},
        id2label={0: "person", 1: "dog"},
        label2id={"person": 0, "dog": 1},
    )
    model = DFineForObjectDetection(config)
    with torch.no_grad():
        for head in model.class_embed:
            head.weight.zero_()
            head.bias.copy_(torch.tensor([0.9, 0.001]).logit())
    model.save_pretrained(folder)
    RTDetrImageProcessorPil().save_pretrained(folder)
    settings = folder / "preprocessor_config.json"
    settings.write_text(settings.read_text().replace("RTDetrImageProcessorPil", "RTDetrImageProcessor"))
    return folder
