"""Blocks compiled with `torch.compile`, each by itself: one graph serves them all, and weights keep their names."""

from accelerate import Accelerator
from accelerate.utils import DynamoBackend
from transformers import PreTrainedModel

from vitpose.modeling.encoder_vitpose import ViTPoseLayer


def compile_blocks(model: PreTrainedModel) -> None:
    """Compile every transformer block in place, at its first use; those of the decoder of pre-training too."""
    for module in model.modules():
        if isinstance(module, ViTPoseLayer):
            module.compile()


def check_not_compiled(accelerator: Accelerator) -> None:
    """Raise if `accelerate launch` was asked to compile: it would save weights under other names."""
    backend = accelerator.state.dynamo_plugin.backend
    if backend != DynamoBackend.NO:
        raise ValueError(
            f"dynamo_backend: expected none, got {backend.value.lower()}. Leave it out and set torch_compile in the "
            "recipe, which compiles block by block and keeps the names of the weights."
        )
