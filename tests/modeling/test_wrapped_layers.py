"""Layers that are more than their weights: inside an adapter, or offloaded until they are called."""

from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model

from vitpose import ViTPoseForPoseEstimation as Model

DATASETS = ["coco", "aic", "mpii"]
MIXED = torch.tensor([0, 2, 1, 2])


def test_an_adapter_on_the_simple_decoder_learns_and_counts(small_model, random_crops) -> None:
    model = small_model("base", decoder="simple")
    crops = random_crops(model)
    before = model(crops).heatmaps.detach()
    untouched = get_peft_model(model, LoraConfig(target_modules=["head.conv"])).eval()
    heatmaps = untouched(pixel_values=crops).heatmaps
    torch.testing.assert_close(heatmaps, before, rtol=0, atol=1e-5)
    heatmaps.square().mean().backward()
    gradients = {name: value.grad for name, value in untouched.named_parameters() if "lora_B" in name}
    assert gradients and all(gradient.any() for gradient in gradients.values())


def test_an_adapter_on_an_expert_counts_in_mixed_batches(small_model, random_crops) -> None:
    model = small_model("base", decoder="simple", datasets=DATASETS, part_features=16)
    crops = random_crops(model, len(MIXED))
    before = model(crops, dataset_index=MIXED).heatmaps.detach()
    adapted = get_peft_model(model, LoraConfig(target_modules=r".*mlp\.experts\.2", init_lora_weights=False)).eval()
    output = adapted(pixel_values=crops, dataset_index=MIXED).heatmaps
    for row, index in enumerate(MIXED.tolist()):
        alone = adapted(pixel_values=crops[row : row + 1], dataset_index=index).heatmaps[0]
        torch.testing.assert_close(output[row, : len(alone)], alone, rtol=0, atol=1e-5)
        assert torch.allclose(output[row], before[row], atol=1e-5) == (index != 2)


@pytest.mark.parametrize("offloaded", ["backbone", "heads"])
def test_offloaded_parts_compute_the_same(offloaded: str, small_model, random_crops, tmp_path: Path) -> None:
    model = small_model("base", decoder="simple", datasets=DATASETS, part_features=16)
    crops = random_crops(model, len(MIXED))
    model.save_pretrained(tmp_path)
    places = {"backbone": "cpu", "heads": "cpu", offloaded: "disk"}
    loaded = Model.from_pretrained(tmp_path, device_map=places, offload_folder=tmp_path / "offload").eval()
    expected = model(crops, dataset_index=MIXED).heatmaps
    torch.testing.assert_close(loaded(crops, dataset_index=MIXED).heatmaps, expected, rtol=0, atol=1e-5)
