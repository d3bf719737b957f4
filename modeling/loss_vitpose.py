"""The training loss: weighted squared error between heatmaps; and which of its labels a batch may be without."""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

import torch
from torch import nn

F = TypeVar("F", bound=Callable[..., Any])


def heatmap_loss(
    heatmaps: torch.Tensor,
    labels: torch.Tensor,
    label_weights: torch.Tensor | None = None,
    keypoint_mask: torch.Tensor | None = None,
) -> torch.Tensor:
    """Mean over batch, keypoints and pixels of (w * (heatmap - label))^2, in float32 (released configs).

    In a batch of several datasets each sample counts the same, whatever its number of keypoints: the loss is the mean
    over samples of the mean over their own keypoints, so the sum over datasets of share in the batch x own loss.

    Args:
        heatmaps: (B, K, h, w) predictions.
        labels: (B, K, h, w) targets.
        label_weights: (B, K) weights; 0 leaves a keypoint out of the error, not out of the mean.
        keypoint_mask: (B, K), False where a channel is no keypoint of the sample's dataset. All real if None.
    """
    return sample_losses(heatmaps, labels, label_weights, keypoint_mask).mean()


def sample_losses(
    heatmaps: torch.Tensor,
    labels: torch.Tensor,
    label_weights: torch.Tensor | None = None,
    keypoint_mask: torch.Tensor | None = None,
) -> torch.Tensor:
    """(B,) the loss of each sample, whose mean is [`heatmap_loss`]; arguments and errors as there."""
    if labels.shape != heatmaps.shape:
        raise ValueError(
            f"labels: expected heatmaps of shape {tuple(heatmaps.shape)}, (batch, keypoints, height, width), got "
            f"{tuple(labels.shape)}. encode_heatmaps, or the processor's keypoints= argument, makes them; their size "
            "follows from its size and heatmap_stride."
        )
    error = heatmaps.float() - labels.float()
    if label_weights is not None:
        if label_weights.shape != heatmaps.shape[:2]:
            raise ValueError(
                f"label_weights: expected shape {tuple(heatmaps.shape[:2])}, (batch, keypoints), got "
                f"{tuple(label_weights.shape)}."
            )
        error = error * label_weights.float()[..., None, None]
    squares = error.square().mean(dim=(2, 3))  # (B, K)
    if keypoint_mask is None:
        return squares.mean(dim=1)
    return (squares * keypoint_mask).sum(dim=1) / keypoint_mask.sum(dim=1)


def optional_labels(*names: str) -> Callable[[F], F]:
    """Let transformers' Trainer know which of the labels that a `forward` takes a batch may be without."""

    def decorate(forward: F) -> F:
        return cast(F, _ForwardWithOptional(forward, names))

    return decorate


class _ForwardWithOptional:
    """A model's `forward`; asked of the class, and not of a model, it does not name some of its arguments.

    transformers' Trainer passes on the columns that a model's `forward` names. Those of them that the class's `forward`
    has with "label" in their name it takes for labels that every batch has: where one is missing, it leaves `eval_loss`
    out without a word.
    """

    def __init__(self, forward: Callable[..., Any], optional: tuple[str, ...]) -> None:
        @wraps(forward)
        def of_class(*args: Any, **kwargs: Any) -> Any:
            return forward(*args, **kwargs)

        signature = inspect.signature(forward)
        named = [parameter for name, parameter in signature.parameters.items() if name not in optional]
        vars(of_class)["__signature__"] = signature.replace(parameters=named)
        self._of_class, self._of_model = of_class, forward

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = f"_{owner.__name__}_{name}"  # an ordinary method: torch.compile follows it
        setattr(owner, self._name, self._of_model)

    def __get__(self, model: nn.Module | None, owner: type | None = None) -> Callable[..., Any]:
        return self._of_class if model is None else getattr(model, self._name)
