"""Time ONNX Runtime and OpenVINO beside torch, on the CPU, with the same random weights.

Run: ``python benchmarks/export.py``, about three minutes on one CPU thread, half of it for exporting. Prints a Markdown
table.

All run in one process, taking turns, on one thread in float32 arithmetic; figures are medians of process CPU time. Only
the ratios mean something, medians over rounds in which all ran side by side.
"""

import argparse
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

import onnxruntime
import openvino
import torch
from forward import cpu_name, randomise, seconds_of_turns

from vitpose import ExportedModel, ViTPoseConfig, ViTPoseForPoseEstimation, ViTPoseImageProcessor, export_model
from vitpose.modeling.configuration_vitpose import Preset

# Column -> format and precision of the file, and what runs it.
EXPORTS = {
    "ONNX Runtime": ("onnx", "fp32", "onnxruntime"),
    "OpenVINO": ("onnx", "fp32", "openvino"),  # the graph that its own format holds, too
    "OpenVINO, half weights": ("openvino", "fp16", "openvino"),
}


def export_all(preset: Preset, folder: Path) -> tuple[ViTPoseForPoseEstimation, list[ExportedModel]]:
    """A model with random weights, and what it was exported to."""
    torch.manual_seed(0)
    model = ViTPoseForPoseEstimation(ViTPoseConfig.from_preset(preset)).eval()
    randomise(model)
    height, width = model.config.image_size
    model.save_pretrained(folder / "model")
    ViTPoseImageProcessor(size={"height": height, "width": width}).save_pretrained(folder / "model")
    exported = []
    for to, precision, backend in EXPORTS.values():
        out = folder / f"{to}-{precision}"
        if not out.exists():
            export_model(folder / "model", out, to=to, precision=precision)
        exported.append(ExportedModel.from_pretrained(out, backend=backend))
    return model, exported


def main() -> None:
    parser = argparse.ArgumentParser(description="Time exported models beside torch.")
    parser.add_argument("--size", default="small", help="preset (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=7, help="how often each runs (default: %(default)s)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    versions = f"onnxruntime {onnxruntime.__version__}, OpenVINO {openvino.__version__}"
    print(f"{cpu_name()}, one thread, torch {torch.__version__}, {versions}\n")
    print(f"| size | batch | torch, ms a crop | {' | '.join(EXPORTS)} |\n|---|---:|---:|{'---:|' * len(EXPORTS)}")
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        model, exported = export_all(arguments.size, Path(folder))
        for batch in (1, 8):
            crops = torch.randn(batch, 3, *model.config.image_size)
            runs: list[Callable[[], object]] = [lambda m=m, x=crops: m(x) for m in (model, *exported)]
            ours, *others = seconds_of_turns(arguments.rounds, *runs)
            ratios = [statistics.median(mine / its for mine, its in zip(ours, own, strict=True)) for own in others]
            figures = " | ".join(f"{ratio:.2f}x" for ratio in ratios)
            milliseconds = statistics.median(ours) / batch * 1e3
            print(f"| {arguments.size} | {batch} | {milliseconds:.1f} | {figures} |", flush=True)


if __name__ == "__main__":
    main()
