"""What every test may rely on: no network, few threads, and the shared real data where it is at hand."""

import os
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("MPLBACKEND", "Agg")

import pytest
import torch

torch.set_num_threads(1)  # more only get in each other's way: the models are small

CHECKOUT = Path(__file__).resolve().parent.parent


def _shared_folder(name: str) -> Path:
    """Folder of real data or weights: `VITPOSE_SHARED_DATA` names the data, else they lie beside the checkout."""
    data = Path(os.environ.get("VITPOSE_SHARED_DATA", CHECKOUT.parent / "shared" / "data"))
    folder = data.parent / name
    if not folder.is_dir():
        pytest.skip(f"real {name} are not at hand: {folder} is absent; set VITPOSE_SHARED_DATA to the data folder")
    return folder


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real photographs with annotations; the test is skipped where it is absent."""
    return _shared_folder("data")


@pytest.fixture(scope="session")
def shared_weights() -> Path:
    """Folder of real pre-trained weights, beside the data; the test is skipped where it is absent."""
    return _shared_folder("weights")


@pytest.fixture(scope="session")
def checkout() -> Path:
    """Root of the source tree under test."""
    return CHECKOUT


@pytest.fixture(scope="session")
def detector(tmp_path_factory) -> str:
    """Folder of a small object detector with random weights that knows a person and a dog."""
    from transformers import YolosConfig, YolosForObjectDetection, YolosImageProcessor

    folder = tmp_path_factory.mktemp("detector")
    torch.manual_seed(0)
    config = YolosConfig(
        **{"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16},
        **{"image_size": [64, 64], "num_detection_tokens": 12, "use_mid_position_embeddings": False},
        id2label={0: "person", 1: "dog"},
        label2id={"person": 0, "dog": 1},
    )
    YolosForObjectDetection(config).save_pretrained(folder)
    YolosImageProcessor(size={"height": 64, "width": 64}).save_pretrained(folder)
    return str(folder)
