"""Models whose checkpoint holds every weight: where some are missing, transformers would leave random ones."""

from os import PathLike
from typing import Any, TypeVar

from transformers import PreTrainedModel

Model = TypeVar("Model", bound=PreTrainedModel)


def load_complete(kind: type[Model], source: str | PathLike[str], **options: Any) -> Model:
    """Load a model whose checkpoint holds all the weights that its config asks for.

    Args:
        kind: The class of the model.
        source: Folder or Hub id.
        options: Further arguments of `from_pretrained`.

    Raises:
        ValueError: Weights are missing or of another shape.
    """
    loaded: Any = kind.from_pretrained(source, output_loading_info=True, **options)
    model, report = loaded
    wrong = sorted(map(str, [*report["missing_keys"], *report["mismatched_keys"]]))
    if wrong:
        raise ValueError(
            f"{source}: {len(wrong)} weights that the config asks for are missing or of another shape, the first is "
            f"{wrong[0]}. Save the model again, config and weights together."
        )
    return model
