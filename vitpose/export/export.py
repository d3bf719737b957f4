"""Export of trained models to ONNX or OpenVINO, which run without torch, behind `vitpose export`."""

import copy
import json
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, get_args

import torch
from torch import Tensor, nn

from vitpose import __version__
from vitpose.hub_cards.cards.exported_card import read_source_metadata, write_exported_card
from vitpose.modeling.convert.complete import load_complete
from vitpose.modeling.modeling_vitpose import ViTPoseForPoseEstimation
from vitpose.processing.image_processing_vitpose import ViTPoseImageProcessor
from vitpose.processing.processor_settings_vitpose import ViTPoseImageProcessorKwargs

from ..base.files import whole_folder
from ..base.published import resolve_model
from .check import BOUNDS, Precision, measure_difference
from .convert import load_processor
from .model import ViTPoseExportedConfig
from .runtimes import FILES, INPUT, OUTPUT, Format, open_runtime, require

logger = logging.getLogger(__name__)

_NEEDED = {"onnx": ("onnx", "onnxscript", "onnxruntime"), "openvino": ("onnx", "onnxscript", "openvino")}


def export_model(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    to: Format,
    precision: Precision = "fp32",
    dataset: str | int | None = None,
) -> Path:
    """Write a model as a file of another runtime, for batches of any size, and check it against torch.

    The file maps `pixel_values` (batch, 3, height, width) to `heatmaps` (batch, keypoints, h, w), float32 both, and
    holds the processor's settings and the keypoint schema as metadata. With config.json and preprocessor_config.json
    beside it the folder works in `pipeline("keypoint-detection", model=FOLDER)`. A card says what it is; its licence is
    that of the source's card.

    Args:
        source: A folder or Hub id, or `tiny` for the checkpoint inside the package.
        out: The folder to write.
        to: The format to write.
        precision: Of the weights; with ONNX that of the arithmetic too, where the machine that runs it has it.
        dataset: Name or index of the dataset whose keypoints it is to find; needed where the model has several. What
            is written is the ordinary model that `fold_experts` gives.

    Returns:
        The file that was written.

    Raises:
        ModuleNotFoundError: What writes or runs the format is not installed.
        FileExistsError: There is something at `out` already.
        ValueError: An argument is invalid, the source is incomplete, or the heatmaps or keypoints of the
            file differ from torch's by more than `check.BOUNDS`; nothing is left behind.
    """
    for name, value, choices in (("to", to, get_args(Format)), ("precision", precision, get_args(Precision))):
        if value not in choices:
            raise ValueError(f"{name}: expected one of {', '.join(choices)}, got {value!r}.")
    require(*_NEEDED[to], extra=to)
    name = resolve_model(os.fspath(source))
    whole = load_complete(ViTPoseForPoseEstimation, name, dtype=torch.float32).eval()
    model = _traceable(_of_one_dataset(whole, dataset))
    facts = read_source_metadata(os.fspath(source))
    processor = load_processor(name, model)
    _check_size(name, model, processor)
    with whole_folder(out) as folder:
        file = folder / FILES[to]
        metadata = _metadata(model, processor, precision)
        if to == "openvino":
            _write_openvino(model, file, metadata, compress_to_fp16=precision == "fp16")
        else:
            _write_onnx(copy.deepcopy(model).half() if precision == "fp16" else model, file, metadata)
        difference = measure_difference(model, processor, open_runtime(file, format=to))
        if not difference.is_within(BOUNDS[precision]):
            raise ValueError(
                f"{name} as {to} in {precision} differs from torch by {difference}, where {BOUNDS[precision]} are "
                f"allowed: nothing was written. Export it as fp32, or to the other format."
            )
        exported = {"format": to, "file": file.name, "precision": precision, "difference": asdict(difference)}
        _config(model, exported).save_pretrained(folder)
        processor.save_pretrained(folder)
        write_exported_card(folder, name=Path(out).name, **facts)
    logger.info("%s: differs from torch by %s", Path(out) / FILES[to], difference)
    return Path(out) / FILES[to]


def _of_one_dataset(model: ViTPoseForPoseEstimation, dataset: str | int | None) -> ViTPoseForPoseEstimation:
    index = model.config.dataset_index(dataset)
    return model if model.config.num_datasets == 1 else model.fold_experts(index)


def _traceable(model: ViTPoseForPoseEstimation) -> ViTPoseForPoseEstimation:
    """Switch window attention to eager kernels: torch's exporter loses the layout of fused ones."""
    backbone: Any = model.config.backbone_config
    if backbone.attention_kind != "full":
        model.set_attn_implementation("eager")
    return model


def _check_size(name: str, model: ViTPoseForPoseEstimation, processor: ViTPoseImageProcessor) -> None:
    size = (processor.size["height"], processor.size["width"])
    if size != model.config.image_size:
        raise ValueError(
            f"{name}: the image processor cuts crops of height and width {size}, the model takes "
            f"{model.config.image_size}. Save both for one size."
        )


def _metadata(
    model: ViTPoseForPoseEstimation, processor: ViTPoseImageProcessor, precision: Precision
) -> dict[str, str]:
    """Metadata for users of the file alone, JSON by name: the processor's settings and the keypoint schema."""
    settings = {name: getattr(processor, name) for name in ViTPoseImageProcessorKwargs.__annotations__}
    settings["size"] = {"height": processor.size["height"], "width": processor.size["width"]}
    schema = model.config.get_schema().to_dict()
    values = {**settings, "keypoint_schema": schema, "precision": precision, "vitpose_version": __version__}
    return {name: json.dumps(value) for name, value in values.items()}


class _HeatmapsOnly(nn.Module):
    """Maps float32 crops to float32 heatmaps, in the model's precision in between."""

    def __init__(self, model: ViTPoseForPoseEstimation) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixel_values: Tensor) -> Tensor:
        return self.model(pixel_values.to(self.model.dtype)).heatmaps.float()


def _write_onnx(model: ViTPoseForPoseEstimation, file: Path, metadata: dict[str, str]) -> None:
    example = torch.zeros(2, 3, *model.config.image_size)  # an axis of length 1 would be taken for fixed
    with _quietly():
        try:
            program = torch.onnx.export(
                _HeatmapsOnly(model).eval(),
                (example,),
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_shapes={INPUT: {0: torch.export.Dim("batch")}},
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as error:
            backbone: Any = model.config.backbone_config
            reason = str(error.__cause__ or error).splitlines()[0]
            raise ValueError(
                f"torch {torch.__version__} cannot export this model, whose attention is {backbone.attention_kind!r}: "
                f"{reason}. Nothing was written; keep it in torch, or try another version of torch."
            ) from error
    assert program is not None  # it is where no file is named
    _forget_origins(program.model)
    program.model.metadata_props.update(metadata)
    program.save(file)


def _forget_origins(model: Any) -> None:
    """Remove the exporter's metadata of each node: stack traces with paths of this machine."""
    for graph in model.graphs():
        graph.metadata_props.clear()
        for node in graph:
            node.metadata_props.clear()
            for value in node.outputs:
                value.metadata_props.clear()


def _write_openvino(
    model: ViTPoseForPoseEstimation, file: Path, metadata: dict[str, str], *, compress_to_fp16: bool
) -> None:
    """Convert through ONNX: OpenVINO's own conversion of torch models sends telemetry."""
    import openvino

    with TemporaryDirectory(prefix="vitpose-export-") as scratch:
        _write_onnx(model, Path(scratch) / FILES["onnx"], {})
        graph = openvino.Core().read_model(Path(scratch) / FILES["onnx"])
        for name, value in metadata.items():
            graph.set_rt_info(value, ["vitpose", name])
        openvino.save_model(graph, file, compress_to_fp16=compress_to_fp16)


def _config(model: ViTPoseForPoseEstimation, exported: dict[str, Any]) -> ViTPoseExportedConfig:
    """The model's config for the exported file: no weights and no code belong to it."""
    values = model.config.to_dict()
    for name in ("architectures", "auto_map", "custom_pipelines", "model_type"):
        values.pop(name, None)
    return ViTPoseExportedConfig.from_dict({**values, "exported": exported})


@contextmanager
def _quietly() -> Iterator[None]:
    """Silence the exporter's notes on absent torchvision and on deprecated parts of torch."""
    registration = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = registration.level
    registration.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        registration.setLevel(level)
