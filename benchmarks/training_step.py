"""Time a step of pose training, forward to AdamW, in several ways, beside transformers' VitPose with the same loss.

Run: ``python benchmarks/training_step.py``, on a GPU with bf16 autocast and batches of 64, on a CPU in float32 on one
thread with batches of 8; compiling takes a minute. All take turns in one process with the same optimizer (fused AdamW)
and random weights; times are medians, of synchronised steps on a GPU and of process CPU time on a CPU. On a GPU peak
memory is shown, and the share of the rate that bf16 products of 8192x8192 matrices reach on it.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from complexity import build as build_counted
from complexity import multiply_adds
from torch import Tensor, nn
from transformers import VitPoseConfig, VitPoseForPoseEstimation

from vitpose import ViTPoseConfig, ViTPoseForPoseEstimation
from vitpose.modeling.loss_vitpose import sample_losses
from vitpose.training.engine.compilation import compile_blocks

CUDA = torch.cuda.is_available()
DEVICE = torch.device("cuda" if CUDA else "cpu")
WAYS = ("stock", "vitpose", "vitpose, channels last", "vitpose, torch_compile")


def make_model(way: str, config: ViTPoseConfig) -> nn.Module:
    if way == "stock":
        return VitPoseForPoseEstimation(VitPoseConfig.from_dict(config.to_dict())).to(DEVICE).train()
    model = ViTPoseForPoseEstimation(config).to(DEVICE).train()
    if "channels last" in way:
        model = model.to(memory_format=torch.channels_last)
    if "torch_compile" in way:
        compile_blocks(model)
    return model


def make_step(way: str, config: ViTPoseConfig, batch: tuple[Tensor, Tensor, Tensor]) -> Callable[[], object]:
    """A whole step on a batch that lies on the device: crops, target heatmaps and weights."""
    model = make_model(way, config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    crops, labels, weights = batch
    if "channels last" in way:
        crops = crops.to(memory_format=torch.channels_last)

    def step() -> None:
        with torch.autocast("cuda", torch.bfloat16, enabled=CUDA):
            heatmaps = model(crops).heatmaps
        sample_losses(heatmaps.float(), labels, weights).mean().backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


@contextmanager
def timed(seconds: list[float]) -> Iterator[None]:
    if CUDA:
        torch.cuda.synchronize()
    clock = time.perf_counter if CUDA else time.process_time
    started = clock()
    yield
    if CUDA:
        torch.cuda.synchronize()
    seconds.append(clock() - started)


def matrix_rate() -> float:
    """Multiply-adds a second of bf16 products on this GPU."""
    a, b = (torch.randn(8192, 8192, device=DEVICE, dtype=torch.bfloat16) for _ in range(2))
    seconds: list[float] = []
    for _ in range(20):
        with timed(seconds):
            a @ b
    return 8192**3 / statistics.median(seconds[5:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--presets", nargs="+", default=["small", "base"] if CUDA else ["small"])
    parser.add_argument("--batches", type=int, nargs="+", default=[64, 128, 256, 512] if CUDA else [8])
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    parser.add_argument("--rounds", type=int, default=20 if CUDA else 7)
    chosen = parser.parse_args()
    if not CUDA:
        torch.set_num_threads(1)
    rate = matrix_rate() if CUDA else None
    print("| size | batch | way | crops/s | to stock | peak memory, GiB | share of bf16 rate |")
    print("|---|---:|---|---:|---:|---:|---:|")
    for preset in chosen.presets:
        config = ViTPoseConfig.from_preset(preset, decoder="classic")
        macs = 1e9 * multiply_adds(build_counted(preset, device="meta", decoder="classic"))
        for size in chosen.batches:
            height, width = config.heatmap_size
            crops = torch.randn(size, 3, *config.image_size, device=DEVICE)
            targets = torch.rand(size, 17, height, width, device=DEVICE), torch.ones(size, 17, device=DEVICE)
            steps, peaks = {}, {}
            for way in chosen.ways:
                before = torch.cuda.memory_allocated() if CUDA else 0
                torch.cuda.reset_peak_memory_stats() if CUDA else None
                steps[way] = make_step(way, config, (crops, *targets))
                steps[way]()  # warms up and compiles
                peaks[way] = (torch.cuda.max_memory_allocated() - before) / 2**30 if CUDA else 0
            seconds: dict[str, list[float]] = {way: [] for way in steps}
            for turn in range(chosen.rounds):
                for way, step in list(steps.items())[:: 1 if turn % 2 else -1]:
                    with timed(seconds[way]):
                        step()
            for way, own in seconds.items():
                speed = size / statistics.median(own)
                pairs = zip(seconds["stock"], own, strict=True) if "stock" in seconds else []
                ratio = statistics.median([theirs / mine for theirs, mine in pairs] or [float("nan")])
                gpu = f"{peaks[way]:.1f} | {3 * macs * speed / rate:.0%}" if rate else " | "
                print(f"| {preset} | {size} | {way} | {speed:.1f} | {ratio:.2f}x | {gpu} |", flush=True)


if __name__ == "__main__":
    main()
