"""What every test may rely on: no network, few threads, and the shared real data where it is at hand."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("MPLBACKEND", "Agg")

import pytest
import torch

if TYPE_CHECKING:
    from hub_stand_in import HubStandIn
    from transformers import Pipeline

torch.set_num_threads(1)  # more only get in each other's way: the models are small

CHECKOUT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(CHECKOUT / "tests" / "hub_help"))


@pytest.fixture(autouse=True)
def levels_of_the_log() -> Iterator[None]:
    """A command sets how much vitpose logs, for its process: the next test starts as if there had been none."""
    logging.getLogger("vitpose").setLevel(logging.NOTSET)  # a fixture of the whole file may have run one too
    yield
    logging.getLogger("vitpose").setLevel(logging.NOTSET)


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


@pytest.fixture
def detector_that_scores(detector: str, monkeypatch: pytest.MonkeyPatch) -> Callable[[list[float]], Pipeline]:
    """Makes an object-detection pipeline that finds people with these scores, up to twelve, in every photo."""
    from transformers import pipeline

    def make(scores: list[float]) -> Pipeline:
        made = pipeline("object-detection", model=detector, device="cpu")
        person = torch.tensor(scores + [0.001] * (12 - len(scores)))
        forward = made.model.forward

        def forward_with_these_scores(*args: Any, **inputs: Any) -> Any:
            outputs = forward(*args, **inputs)
            outputs.logits = torch.stack([person, torch.full_like(person, 0.001), 0.999 - person], dim=-1).log()[None]
            return outputs

        monkeypatch.setattr(made.model, "forward", forward_with_these_scores)
        return made

    return make


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubStandIn]:
    """A stand-in for the Hub that this process fetches from and publishes to, with a token in the environment."""
    import huggingface_hub.hf_api
    import transformers.utils.hub
    from hub_interface import TOKEN
    from hub_stand_in import HubStandIn

    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)  # xet has a server of its own
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("time.sleep", lambda _: None)  # between tries
    with HubStandIn() as server:
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", server.endpoint)
        # transformers calls the functions of this one, which took its endpoint when it was made
        monkeypatch.setattr(huggingface_hub.hf_api.api, "endpoint", server.endpoint)
        monkeypatch.setattr(transformers.utils.hub, "_hf_api", None)  # that of an earlier test, if any
        template = server.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        yield server


@pytest.fixture(scope="session")
def stock_pose(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a small ViTPose++ as those that are published, with random weights."""
    from stock_models import save_stock_pose

    return save_stock_pose(tmp_path_factory.mktemp("stock") / "pose")


@pytest.fixture(scope="session")
def stock_detector(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a small D-FINE that finds two people in every photo."""
    from stock_models import save_detector

    return save_detector(tmp_path_factory.mktemp("stock") / "detector")


@pytest.fixture
def published(hub: HubStandIn, stock_pose: Path, stock_detector: Path) -> HubStandIn:
    """The stand-in for the Hub with small models in the place of those that are published."""
    hub.publish_all(stock_pose, stock_detector)
    return hub
