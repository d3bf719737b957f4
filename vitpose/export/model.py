"""An exported model as the pipeline takes it: the config of its folder, and a module that calls its runtime."""

import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from torch import Tensor, nn

from vitpose.modeling.configuration_vitpose import ViTPoseConfig
from vitpose.modeling.modeling_vitpose import ViTPoseOutput

from ..base.names import unknown_name
from .runtimes import COMPANIONS, Backend, Runtime, open_runtime

_HUB_OPTIONS = ("cache_dir", "force_download", "local_files_only", "revision", "token")
_OPTIONS = (*_HUB_OPTIONS, "backend", "config", "dtype")
_FROM_AUTO = ("adapter_kwargs", "trust_remote_code")  # which AutoModel hands to every model


class ViTPoseExportedConfig(ViTPoseConfig):
    """The config.json of an exported model's folder: that of the model, and what was exported.

    Args:
        exported: `format` ("onnx" or "openvino"), `file` (its name in the folder), `precision` ("fp32" or "fp16"), and
            `difference`, the largest ones to torch that were measured when it was exported: of `heatmaps`, and of
            `keypoints` in heatmap pixels.
    """

    model_type = "vitpose_exported"

    exported: dict[str, Any] | None = None

    @property
    def is_stock(self) -> bool:
        """False: there are no weights that transformers' own class could read."""
        return False


class ExportedModel(nn.Module):
    """A model that `vitpose export` wrote, run by ONNX Runtime or OpenVINO on the CPU.

    Stands where a `ViTPoseForPoseEstimation` of one dataset stands in the pipeline; `AutoModel` and
    `pipeline("keypoint-detection", model=FOLDER)` make it of such a folder by themselves.

    Args:
        folder: Where the exported file lies.
        config: Of that folder.

    Raises:
        ValueError: The config is not that of an exported model.
    """

    config_class = ViTPoseExportedConfig
    input_modalities = ("image",)  # read by the pipeline's repr, as is can_generate
    dtype = torch.float32  # of what goes in and comes out, whatever the precision inside
    device = torch.device("cpu")

    def __init__(self, folder: Path, config: ViTPoseExportedConfig) -> None:
        super().__init__()
        if config.exported is None:
            raise ValueError(f"{folder} is no exported model: make one of it with vitpose export {folder} --to onnx.")
        self.config = config
        self._path = folder / config.exported["file"]
        self._format = config.exported["format"]
        self._runtime: Runtime | None = None

    @classmethod
    def from_pretrained(
        cls,
        name: str | os.PathLike[str],
        *,
        backend: Backend | None = None,
        config: ViTPoseExportedConfig | None = None,
        dtype: torch.dtype | str | None = None,
        **options: Any,
    ) -> "ExportedModel":
        """Load the model of a folder or of a repository on the Hub.

        Args:
            name: The folder, or the repository's id.
            backend: "onnxruntime" or "openvino"; None takes what it was exported for. An ONNX file runs on both.
            config: Of that folder, where it is read already.
            dtype: None, "auto" or `torch.float32`: the precision was chosen when the model was exported.
            options: Those of transformers' `from_pretrained` that say how to get a repository.

        Raises:
            ModuleNotFoundError: The backend is not installed.
            TypeError: There is no such option.
            ValueError: It is not an exported model, the backend is unknown, or the dtype is another.
        """
        _check_options(options)
        if dtype not in (None, "auto", torch.float32):
            raise ValueError(f"dtype: an exported model takes and gives float32, got {dtype}: leave it out.")
        hub = {option: value for option, value in options.items() if option in _HUB_OPTIONS}
        config = ViTPoseExportedConfig.from_pretrained(name, **hub) if config is None else config
        model = cls(Path(name if os.path.isdir(name) else snapshot_download(os.fspath(name), **hub)), config)
        if backend is not None:
            model.open_runtime(backend)
        return model

    def save_pretrained(self, save_directory: str | os.PathLike[str]) -> None:
        """Copy the exported file and its config into a folder."""
        folder = Path(save_directory)
        folder.mkdir(parents=True, exist_ok=True)
        self.config.save_pretrained(folder)
        for path in (self._path, self._path.with_name(COMPANIONS[self._format])):
            if path.is_file() and not path.parent.samefile(folder):
                shutil.copyfile(path, folder / path.name)

    def open_runtime(self, backend: Backend | None = None) -> None:
        """Read the file now rather than at the first call, or run it on another backend from now on.

        Raises:
            ModuleNotFoundError, FileNotFoundError, ValueError: As [`runtimes.open_runtime`].
        """
        self._runtime = open_runtime(self._path, format=self._format, backend=backend)

    def forward(self, pixel_values: Tensor) -> ViTPoseOutput:
        """Predict heatmaps.

        Args:
            pixel_values: (B, 3, H, W) normalized float32 crops of the config's `image_size`, on any device.

        Returns:
            Output with `heatmaps` (B, K, h, w) on the device of the crops, without gradients.

        Raises:
            ValueError: The crops have another shape or type.
        """
        expected = (3, *self.config.image_size)
        if pixel_values.ndim != 4 or pixel_values.shape[1:] != expected or pixel_values.dtype != self.dtype:
            raise ValueError(
                f"pixel_values: expected float32 crops of shape (batch, {', '.join(map(str, expected))}), got "
                f"{pixel_values.dtype} of shape {tuple(pixel_values.shape)}."
            )
        if self._runtime is None:
            self.open_runtime()
        assert self._runtime is not None
        heatmaps = torch.from_numpy(self._runtime(pixel_values.detach().cpu().contiguous().numpy()))
        return ViTPoseOutput(heatmaps=heatmaps.to(pixel_values.device))

    def can_generate(self) -> bool:
        """False: it writes no text."""
        return False


def _check_options(names: Iterable[str]) -> None:
    unknown = [name for name in names if name not in (*_OPTIONS, *_FROM_AUTO)]
    if unknown:
        raise TypeError(unknown_name("option of an exported model", unknown[0], _OPTIONS))
