"""The demo as a Space: its variables VITPOSE_MODELS and VITPOSE_DETECTOR name what it shows."""

import contextlib
import os

with contextlib.suppress(ModuleNotFoundError):
    import spaces  # noqa: F401  # on ZeroGPU it has to come before torch

from ..demo.demo import Demo
from ..demo.interface import launch

if __name__ == "__main__":
    models = os.environ.get("VITPOSE_MODELS", "tiny").split()
    launch(Demo(models, detector=os.environ.get("VITPOSE_DETECTOR")))
