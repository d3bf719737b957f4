"""Small saved models to publish."""

import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from publishing_help import save_model


@pytest.fixture(scope="session")
def saved_model(tmp_path_factory) -> Path:
    """Folder of a small saved model, not to be changed."""
    return save_model(tmp_path_factory.mktemp("saved") / "my-pose")


@pytest.fixture
def checkpoint(saved_model, tmp_path) -> Path:
    """Folder of a small saved model without a card."""
    return Path(shutil.copytree(saved_model, tmp_path / "my-pose"))
