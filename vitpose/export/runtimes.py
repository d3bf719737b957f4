"""Runtimes of exported models: ONNX Runtime and OpenVINO, on the CPU, with as many threads as torch.

Neither is imported before it is needed; the extras `vitpose[onnx]` and `vitpose[openvino]` bring them.
"""

import functools
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import torch

Backend = Literal["onnxruntime", "openvino"]
Format = Literal["onnx", "openvino"]
# Normalized crops (B, 3, H, W) float32 to heatmaps (B, K, h, w) float32.
Runtime: TypeAlias = Callable[[np.ndarray], np.ndarray]

INPUT, OUTPUT = "pixel_values", "heatmaps"
FILES: dict[Format, str] = {"onnx": "model.onnx", "openvino": "openvino_model.xml"}
# Weights beside them; of ONNX those of large models.
COMPANIONS: dict[Format, str] = {"onnx": "model.onnx.data", "openvino": "openvino_model.bin"}
READERS: dict[Format, tuple[Backend, ...]] = {"onnx": ("onnxruntime", "openvino"), "openvino": ("openvino",)}
_EXTRAS: dict[Backend, str] = {"onnxruntime": "onnx", "openvino": "openvino"}


def require(*packages: str, extra: str) -> None:
    """Raise `ModuleNotFoundError` with the command that installs them if some of these packages are missing."""
    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        raise ModuleNotFoundError(f'{", ".join(missing)} must be installed: pip install "vitpose[{extra}]".')


def open_runtime(path: Path, *, format: Format, backend: Backend | None = None) -> Runtime:
    """Read an exported model.

    Args:
        path: The file, `.onnx` or OpenVINO's `.xml`.
        format: What it is.
        backend: What it is to run on; None takes the runtime of its own name. OpenVINO reads both formats.

    Raises:
        ModuleNotFoundError: The backend is not installed.
        FileNotFoundError: There is no such file.
        ValueError: There is no such backend, it does not read the format, or the file is broken.
    """
    backend = READERS[format][0] if backend is None else backend
    if backend not in get_args(Backend):
        raise ValueError(f"backend: expected one of {', '.join(get_args(Backend))}, got {backend!r}.")
    if backend not in READERS[format]:
        raise ValueError(
            f"backend: {backend} does not read the format {format!r} of {path}: leave backend out, or export the model "
            f"with --to onnx."
        )
    require(backend, extra=_EXTRAS[backend])
    if not path.is_file():
        raise FileNotFoundError(f"There is no {path}: export the model again.")
    try:
        return _open_onnxruntime(path) if backend == "onnxruntime" else _open_openvino(path)
    except Exception as error:  # each runtime has its own kinds, which share no other base
        reason = " ".join(str(error).split()).rstrip(".")  # OpenVINO's has a line for each function it passed
        raise ValueError(f"{path} cannot be read by {backend}: {reason}. Export the model again.") from error


def _open_onnxruntime(path: Path) -> Runtime:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda crops: session.run([OUTPUT], {INPUT: crops})[0]


def _open_openvino(path: Path) -> Runtime:

    settings = {
        "EXECUTION_MODE_HINT": "ACCURACY",  # else processors that can compute in bfloat16 do, unasked
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "PERFORMANCE_HINT": "LATENCY",
    }
    compiled = _openvino_core().compile_model(path, "CPU", settings)
    return lambda crops: compiled({INPUT: crops})[OUTPUT]


@functools.cache
def _openvino_core() -> Any:
    """Make the one core of this process, which stays alive.

    On some processors each gives the main thread a stack for its signals, and takes it away when it goes. Two that go
    in the order in which they came leave one behind that is gone: the next signal, such as the end of a data loader's
    worker, then ends the process.
    """
    import openvino

    return openvino.Core()
