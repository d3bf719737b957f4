"""The demo as a Space: its variables VITPOSE_MODELS and VITPOSE_DETECTOR name what it shows."""

import contextlib
import os

with contextlib.suppress(ModuleNotFoundError):
    import spaces  # noqa: F401  # on ZeroGPU it has to come before torch

from vitpose.hub_cards.demo.interface import launch
from vitpose.hub_cards.demo.model import Demo

if __name__ == "__main__":
    models = os.environ.get("VITPOSE_MODELS", "base").split()
    launch(Demo(models, detector=os.environ.get("VITPOSE_DETECTOR", "light") or None))
