"""A stand-in for the Hub, and small saved models to publish to it."""

import shutil
import sys
from pathlib import Path

import huggingface_hub
import huggingface_hub.hf_api
import pytest
import transformers.utils.hub

sys.path.insert(0, str(Path(__file__).parent))

from hub_interface import TOKEN
from hub_stand_in import HubStandIn
from publishing_help import save_model


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A stand-in for the Hub that this process publishes to, with a token in the environment."""
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
def saved_model(tmp_path_factory) -> Path:
    """Folder of a small saved model, not to be changed."""
    return save_model(tmp_path_factory.mktemp("saved") / "my-pose")


@pytest.fixture
def checkpoint(saved_model, tmp_path) -> Path:
    """Folder of a small saved model without a card."""
    return Path(shutil.copytree(saved_model, tmp_path / "my-pose"))
