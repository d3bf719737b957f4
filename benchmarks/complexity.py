"""Count what every kind of model holds and does: parameters, multiply-adds, and what training keeps in memory.

Run: ``python benchmarks/complexity.py`` for parameters and multiply-adds (counted on the meta device: no memory, some
seconds), and ``python benchmarks/complexity.py --memory`` for the activations that the backward pass needs (one crop on
the CPU, under a minute). Both print Markdown tables.

A multiply-add is counted once. Attention is counted through its two products, without the softmax.
"""

import argparse
import itertools
from typing import Any

import torch
from torch import nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from vitpose import ViTPoseConfig, ViTPoseForPoseEstimation
from vitpose.modeling.configuration_vitpose import RELEASED_DATASETS

EXPERT_KINDS = ("none", "partially_shared", "independent", "independent_and_shared")
ATTENTION_KINDS = ("full", "window", "shifted_window", "pooled_window", "shifted_pooled_window")
# ViTPose paper, table 5: ViTPose-B at stride 8, windows of 8 by 8
PUBLISHED_GMACS = dict(zip(ATTENTION_KINDS, (76.59, 66.31, 66.31, 66.39, 66.39), strict=True))
# the same paper, table 6: ViTPose-B
PUBLISHED_FROZEN_MEMORY = {"none": 14_090, "attention": 11_052, "ffn": 10_941}
CROPS_A_GPU = 64  # released configs
PUBLISHED_MEMORY = dict(zip(ATTENTION_KINDS, (36_141, 21_161, 21_161, 22_893, 22_893), strict=True))


def build(preset: str, *, device: str, attention: str = "eager", experts: str = "none", **options: Any) -> nn.Module:
    """A model without weights; with experts it has those and the heads of the six released datasets."""
    if experts != "none":
        options.update(datasets=RELEASED_DATASETS, expert_kind=experts)
    config = ViTPoseConfig.from_preset(preset, **options)  # type: ignore[arg-type]
    config._attn_implementation = attention
    with torch.device(device):
        return ViTPoseForPoseEstimation(config)


def multiply_adds(model: nn.Module, part: nn.Module | None = None) -> float:
    """Multiply-adds of one crop in units of 1e9, of the model or of its backbone alone."""
    crop = torch.zeros(1, 3, *model.config.image_size, device="meta")
    index = {"dataset_index": 0} if model.config.num_datasets > 1 else {}
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        (part or model.eval())(crop, **index)
    return counter.get_total_flops() / 2 / 1e9


def millions(model: nn.Module) -> float:
    return sum(parameter.numel() for parameter in model.parameters()) / 1e6


def print_sizes() -> None:
    print("| size | crop | decoder | experts | parameters, M | backbone, GMACs | whole, GMACs |")
    print("|---|---|---|---|---:|---:|---:|")
    sizes: list[tuple[str, dict]] = [(name, {}) for name in ("tiny", "small", "base", "large", "huge", "giant")]
    sizes.insert(-1, ("giant", {"image_size": (256, 192)}))
    for (preset, options), decoder, experts in itertools.product(sizes, ("classic", "simple"), EXPERT_KINDS):
        if experts != "none" and decoder == "simple":
            continue  # the backbone does not know of the decoder
        model = build(preset, device="meta", decoder=decoder, experts=experts, **options)
        backbone = multiply_adds(model, model.backbone.eval())
        crop = "x".join(map(str, model.config.image_size))
        figures = f"{millions(model):.2f} | {backbone:.2f} | {multiply_adds(model):.2f}"
        print(f"| {preset} | {crop} | {decoder} | {experts} | {figures} |", flush=True)


def print_attention_kinds() -> None:
    print("\n| attention, base, stride 8 | parameters of the backbone, M | GMACs | published | ratio |")
    print("|---|---:|---:|---:|---:|")
    for kind, published in PUBLISHED_GMACS.items():
        model = build("base", device="meta", decoder="simple", patch_stride=8, attention_kind=kind)
        counted = multiply_adds(model, model.backbone.eval())
        size = f"{millions(model.backbone):.2f} | {counted:.2f} | {published:.2f} | {counted / published:.4f}"
        print(f"| {kind} | {size} |", flush=True)


def saved_megabytes(model: nn.Module, crop: torch.Tensor) -> float:
    """What the backward pass keeps, weights excepted, each storage once, in MB."""
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    storages: dict[int, int] = {}
    kept = []  # alive to the end, so that no storage is counted under the address of another

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            storages[storage.data_ptr()] = storage.nbytes()
            kept.append(tensor)
        return tensor

    with saved_tensors_hooks(note, lambda tensor: tensor):
        model.train()(crop)
    return sum(storages.values()) / 1e6


def print_memory() -> None:
    print(
        "\n| attention, base, stride 8 | eager, MB a crop | to full | SDPA, MB a crop | to full | published, to full |"
    )
    print("|---|---:|---:|---:|---:|---:|")
    crop = torch.zeros(1, 3, 256, 192)
    full: dict[str, float] = {}
    for kind in ATTENTION_KINDS:
        cells = []
        for attention in ("eager", "sdpa"):
            model = build(
                "base", device="cpu", attention=attention, decoder="simple", patch_stride=8, attention_kind=kind
            )
            size = saved_megabytes(model.backbone, crop)
            full.setdefault(attention, size)
            cells += [f"{size:.0f}", f"{size / full[attention]:.2f}"]
        published = PUBLISHED_MEMORY[kind] / PUBLISHED_MEMORY["full"]
        print(f"| {kind} | {' | '.join(cells)} | {published:.2f} |", flush=True)


def print_frozen_memory() -> None:
    print(
        "\n| frozen, base | weights, gradients, Adam, MB | eager, MB a crop | 64 crops, GB | to none "
        "| SDPA, MB a crop | 64 crops, GB | to none | published, to none |"
    )
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|")
    crop = torch.zeros(1, 3, 256, 192)
    none: dict[str, float] = {}
    for frozen, published in PUBLISHED_FROZEN_MEMORY.items():
        cells = []
        for attention in ("eager", "sdpa"):
            model = build("base", device="cpu", attention=attention, decoder="classic")
            if frozen != "none":
                model.freeze(frozen)
            trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad) / 1e6
            fixed = 4 * (millions(model) + 3 * trained)  # float32, two moments
            size = saved_megabytes(model, crop)
            whole = (fixed + CROPS_A_GPU * size) / 1e3
            none.setdefault(attention, whole)
            cells += [f"{size:.0f}", f"{whole:.1f}", f"{whole / none[attention]:.2f}"]
        share = published / PUBLISHED_FROZEN_MEMORY["none"]
        print(f"| {frozen} | {fixed:.0f} | {' | '.join(cells)} | {share:.2f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Count parameters, multiply-adds and activations.")
    parser.add_argument("--memory", action="store_true", help="count what training keeps instead")
    if parser.parse_args().memory:
        print_memory()
        print_frozen_memory()
    else:
        print_sizes()
        print_attention_kinds()


if __name__ == "__main__":
    main()
