"""The dataset index of each crop of a batch: the check at the door of every model with experts or heads."""

import torch


def check_dataset_index(
    dataset_index: int | torch.Tensor | None, *, batch: int, num_datasets: int, names: list[str] | None = None
) -> int | torch.Tensor:
    """The index in the form that experts and heads take: an int where it is one for all crops, or a long tensor.

    Args:
        dataset_index: The argument of the model. None stands for 0 where there is one dataset.
        batch: Number of crops.
        num_datasets: Number of experts or heads, whichever is larger.
        names: Their names, for the messages.

    Raises:
        ValueError: Missing where there are several datasets, of another type or shape, or out of range. Inside a
            compiled or exported graph the values of a tensor are not looked at.
    """
    if dataset_index is None:
        if num_datasets > 1:
            raise ValueError(
                f"dataset_index: expected an int, or a long tensor of shape ({batch},), as this model has "
                f"{_datasets(num_datasets, names)}; got None. Say whose keypoints to predict."
            )
        return 0
    index = _one_per_crop(dataset_index, batch)
    if torch.compiler.is_compiling() and isinstance(index, torch.Tensor):
        return index  # reading values would break the graph
    values = index.tolist() if isinstance(index, torch.Tensor) else [index]
    if any(not 0 <= value < num_datasets for value in values):
        valid = "0" if num_datasets == 1 else f"values from 0 to {num_datasets - 1}"
        raise ValueError(
            f"dataset_index: expected {valid}, as this model has {_datasets(num_datasets, names)}; got "
            f"{dataset_index!r}."
        )
    return index if len(set(values)) > 1 else next(iter(values), 0)


def one_per_sample(index: int | torch.Tensor, batch: torch.Tensor) -> torch.Tensor:
    """The index as a tensor (B,): then every expert and head has a gradient, which distributed training waits for."""
    if isinstance(index, torch.Tensor):
        return index
    return torch.full((batch.shape[0],), index, device=batch.device)


def _datasets(count: int, names: list[str] | None) -> str:
    listed = f" ({', '.join(f'{index} {name}' for index, name in enumerate(names))})" if names else ""
    return f"{'one dataset' if count == 1 else f'{count} datasets'}{listed}"


def _one_per_crop(dataset_index: int | torch.Tensor, batch: int) -> int | torch.Tensor:
    """The index as an int or a tensor (batch,); a tensor without axes stands for all crops."""
    if isinstance(dataset_index, torch.Tensor):
        is_index = not dataset_index.is_floating_point() and dataset_index.dtype != torch.bool
        if is_index and dataset_index.shape in ((), (batch,)):
            return dataset_index.long().expand(batch)
    elif isinstance(dataset_index, int) and not isinstance(dataset_index, bool):
        return dataset_index
    raise ValueError(
        f"dataset_index: expected an int, or a long tensor of shape ({batch},), one entry per crop; got "
        f"{dataset_index!r}."
    )
