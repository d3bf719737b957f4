"""Time the model beside transformers' VitPose, or compare their heatmaps, with the same random weights.

Run: ``python benchmarks/forward.py`` for the times, about four minutes on one CPU thread, ``--experts`` for those of
ViTPose++ beside the model without experts, and ``--parity`` for the differences and parameter counts, about as long and
4 GB of memory. Each prints a Markdown table.

Both models run in one process, taking turns, on one thread in float32; figures are medians of process CPU time. Only
the ratios mean something, medians over rounds in which both ran side by side.
"""

import argparse
import itertools
import math
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn
from transformers import VitPoseConfig, VitPoseForPoseEstimation

from vitpose import ViTPoseConfig, ViTPoseForPoseEstimation
from vitpose.modeling.configuration_vitpose import Decoder, Preset

DECODERS: tuple[Decoder, ...] = ("classic", "simple")


@torch.no_grad()
def randomise(model: nn.Module) -> None:
    """Random weights everywhere, batch statistics too, so that heatmaps are of order 1 and no parameter is neutral."""
    for name, value in model.state_dict().items():
        if name.endswith("running_var"):
            value.uniform_(0.5, 1.5)
        elif value.ndim > 1:
            value.normal_(std=1 if "position" in name else 1 / math.sqrt(value[0].numel()))
        elif value.is_floating_point():
            value.normal_(mean=float("norm" in name and name.endswith("weight")), std=0.2)
        else:
            value.zero_()  # batches counted


def make_twins(preset: Preset, decoder: Decoder) -> tuple[ViTPoseForPoseEstimation, VitPoseForPoseEstimation]:
    """Our model and transformers', sharing the very same random weights."""
    torch.manual_seed(0)
    config = ViTPoseConfig.from_preset(preset, decoder=decoder)
    with torch.device("meta"):
        ours = ViTPoseForPoseEstimation(config)
        stock = VitPoseForPoseEstimation(VitPoseConfig.from_dict(config.to_dict()))
    randomise(ours.to_empty(device="cpu"))
    stock.load_state_dict(ours.state_dict(), assign=True)
    return ours.eval(), stock.eval()


def seconds_of_turns(rounds: int, *candidates: Callable[[], object]) -> list[list[float]]:
    """Process CPU time of each candidate in each round, after one to warm up; who starts a round alternates."""
    seconds: list[list[float]] = [[] for _ in candidates]
    for turn in range(rounds + 1):
        pairs = list(zip(candidates, seconds, strict=True))
        for candidate, own in pairs if turn % 2 else reversed(pairs):
            start = time.process_time()
            candidate()
            own.append(time.process_time() - start)
    return [own[1:] for own in seconds]


@torch.inference_mode()
def time_forward(presets: list[Preset], rounds: int) -> None:
    print("| size | decoder | batch | stock, ms a crop | vitpose, ms a crop | ratio |\n|---|---|---:|---:|---:|---:|")
    for preset, decoder in itertools.product(presets, DECODERS):
        ours, stock = make_twins(preset, decoder)
        for batch in (1, 8):
            crops = torch.randn(batch, 3, *ours.config.image_size)
            theirs, mine = seconds_of_turns(rounds, lambda m=stock, x=crops: m(x), lambda m=ours, x=crops: m(x))
            ratio = statistics.median(their / my for their, my in zip(theirs, mine, strict=True))
            figures = " | ".join(f"{statistics.median(own) / batch * 1e3:.1f}" for own in (theirs, mine))
            print(f"| {preset} | {decoder} | {batch} | {figures} | {ratio:.2f}x |", flush=True)


@torch.inference_mode()
def time_experts(presets: list[Preset], rounds: int) -> None:
    """Six experts and one head, batch 8: all datasets mixed, one dataset, folded; and transformers', mixed.

    Ratios are times over those of the dense model, which has the weights of the folded one: the two differ by noise.
    """
    print("| size | dense, ms a crop | mixed | one dataset | folded | transformers, mixed |")
    print("|---|---:|---:|---:|---:|---:|")
    for preset in presets:
        torch.manual_seed(0)
        config = ViTPoseConfig.from_preset(preset, decoder="simple")
        plus = ViTPoseForPoseEstimation(
            ViTPoseConfig.from_preset(preset, datasets=["coco"], decoder="simple", num_experts=6)
        ).eval()
        randomise(plus)
        folded = plus.fold_experts(0)
        dense = ViTPoseForPoseEstimation(config).eval()
        dense.load_state_dict(folded.state_dict())
        with torch.device("meta"):
            stock = VitPoseForPoseEstimation(VitPoseConfig.from_dict(plus.config.to_dict())).eval()
        stock.load_state_dict(plus.state_dict(), assign=True)
        crops, mixed = torch.randn(8, 3, *config.image_size), torch.tensor([0, 1, 2, 3, 4, 5, 0, 1])
        times = seconds_of_turns(
            rounds,
            lambda m=dense, x=crops: m(x),
            lambda m=plus, x=crops, index=mixed: m(x, dataset_index=index),
            lambda m=plus, x=crops: m(x, dataset_index=0),
            lambda m=folded, x=crops: m(x),
            lambda m=stock, x=crops, index=mixed: m(x, dataset_index=index),
        )
        # the least of all rounds: what else runs on the machine can only add, and the differences are small
        figures = " | ".join(f"{min(own) / min(times[0]):.2f}x" for own in times[1:])
        print(f"| {preset} | {min(times[0]) / 8 * 1e3:.1f} | {figures} |", flush=True)


@torch.inference_mode()
def compare_heatmaps(presets: list[Preset]) -> None:
    print("| size | decoder | parameters, M | largest heatmap value | largest difference |\n|---|---|---:|---:|---:|")
    for preset, decoder in itertools.product(presets, DECODERS):
        ours, stock = make_twins(preset, decoder)
        crops = torch.randn(1, 3, *ours.config.image_size)
        expected = stock(crops).heatmaps
        largest, difference = expected.abs().max(), (ours(crops).heatmaps - expected).abs().max()
        figures = f"{ours.num_parameters() / 1e6:.2f} | {largest:.2f} | {difference:.1e}"
        print(f"| {preset} | {decoder} | {figures} |", flush=True)


def cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def main() -> None:
    parser = argparse.ArgumentParser(description="Time the model beside transformers' VitPose.")
    parser.add_argument("--parity", action="store_true", help="compare heatmaps instead of times")
    parser.add_argument("--experts", action="store_true", help="time models with experts beside one without")
    parser.add_argument("--sizes", nargs="+", help="presets (default: small and base; with --parity, all four)")
    parser.add_argument("--rounds", type=int, default=7, help="how often each model runs (default: %(default)s)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{cpu_name()}, one thread, torch {torch.__version__}\n")
    if arguments.parity:
        compare_heatmaps(arguments.sizes or ["small", "base", "large", "huge"])
    elif arguments.experts:
        time_experts(arguments.sizes or ["small", "base"], arguments.rounds)
    else:
        time_forward(arguments.sizes or ["small", "base"], arguments.rounds)


if __name__ == "__main__":
    main()
