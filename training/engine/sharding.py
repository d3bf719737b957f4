"""Weights, gradients and optimizer state shared out over the processes of a run (FSDP2, torch's `fully_shard`).

A sharded run computes what the same processes compute with a whole model on each, and leaves the same folder.
"""

import os

from accelerate import Accelerator
from accelerate.utils import AutocastKwargs, FullyShardedDataParallelPlugin, convert_outputs_to_fp32
from torch import nn

from ..config.recipe import Recipe

_INSTEAD = "Launch with training/launch/fsdp2.yaml."


def sharding_plugin(recipe: Recipe) -> FullyShardedDataParallelPlugin | None:
    """The FSDP2 plugin that `accelerate launch` asks for; None where every process holds a whole model.

    The launch says whether gathered weights are kept from the forward to the backward pass. The rest follows from the
    model: each block is gathered by itself, checkpoints are written in shards, precision is autocast's.

    Raises:
        ValueError: DeepSpeed, another FSDP, or a setting that runs do not support, of the launch or of the recipe.
    """
    if _launched_with("DEEPSPEED"):
        raise ValueError(
            "DeepSpeed is not supported. FSDP2 saves what its ZeRO-3 saves, and with fsdp_reshard_after_forward: false "
            f"what its ZeRO-2 saves. {_INSTEAD}"
        )
    if not _launched_with("FSDP"):
        return None
    version = os.environ.get("FSDP_VERSION", "1")
    if version != "2":
        raise ValueError(f"fsdp_version: expected 2, got {version}. {_INSTEAD}")
    for name, instead in (
        ("offload_params", _INSTEAD),
        ("activation_checkpointing", "Set gradient_checkpointing in the recipe."),
    ):
        if os.environ.get(f"FSDP_{name.upper()}", "false").lower() == "true":
            raise ValueError(f"fsdp_{name}: expected false, got true. {instead}")
    _check_recipe(recipe)
    return _plugin()


def _launched_with(what: str) -> bool:
    return os.environ.get(f"ACCELERATE_USE_{what}", "false").lower() == "true"


def _check_recipe(recipe: Recipe) -> None:
    if recipe.optimization.mixed_precision == "fp16":
        raise ValueError("optimization.mixed_precision: expected 'no' or 'bf16' for sharded weights, got 'fp16'.")
    if recipe.optimization.ema_decay:
        raise ValueError(
            "optimization.ema_decay: expected 0 for sharded weights, as each process would hold the average whole, got "
            f"{recipe.optimization.ema_decay}."
        )


def _plugin() -> FullyShardedDataParallelPlugin:
    from torch.distributed.fsdp import MixedPrecisionPolicy  # some builds of torch lack it, and train on one device

    return FullyShardedDataParallelPlugin(
        auto_wrap_policy="transformer_based_wrap",
        state_dict_type="SHARDED_STATE_DICT",
        cpu_ram_efficient_loading=False,  # it leaves out running statistics, and the weights of a teacher
        mixed_precision_policy=MixedPrecisionPolicy(),  # none of its own, see autocast_forward
    )


def check_sharded(accelerator: Accelerator) -> None:
    """Raise a `ValueError` if accelerate passed over the wish to shard: it does so where there are no GPUs."""
    if _launched_with("FSDP") and not accelerator.is_fsdp2:
        where = f"{accelerator.num_processes} x {accelerator.device.type}"
        raise ValueError(f"FSDP2 was asked for on {where}, and accelerate shards over GPUs alone. Launch without it.")


def autocast_forward(model: nn.Module, accelerator: Accelerator) -> None:
    """Have a model that is going to be sharded compute in the run's precision, as accelerate has one that is not.

    FSDP's own mixed precision would also round what autocast leaves in float32: residuals, norms, positions, the loss.
    Autocast's cache would keep a copy of weights that FSDP has let go again.
    """
    if accelerator.is_fsdp2:
        autocast = accelerator.autocast(AutocastKwargs(cache_enabled=False))
        model.forward = convert_outputs_to_fp32(autocast(model.forward))
