"""How the tensors of a file differ from those that a model wants, as a message that helps."""

from collections.abc import Callable, Sequence

from vitpose.base.names import first_of

from .names import StateDict
from .recognition import Found, other_architecture

_MOST = 6  # names of one kind in a message


def refuse_differences(
    weights: StateDict, wanted: StateDict, found: Found, *, name_in_file: Callable[[str], str], remedy: str = ""
) -> None:
    """Raise an error where the tensors of a file are not those of a model.

    Args:
        weights: The tensors under the model's names.
        wanted: The model's own.
        found: What they were recognized as.
        name_in_file: Gives the name in the file of a name of the model.
        remedy: What to do about it, a sentence.

    Raises:
        ValueError: Tensors are missing, unexpected or of another shape; the message names them and the layout.
    """
    missing = sorted({name_in_file(name) for name in wanted.keys() - weights.keys()})
    unexpected = sorted({name_in_file(name) for name in weights.keys() - wanted.keys()})
    misshapen = [
        f"{name_in_file(name)} of {tuple(weights[name].shape)} for {tuple(wanted[name].shape)}"
        for name in sorted(weights.keys() & wanted.keys())
        if weights[name].shape != wanted[name].shape
    ]
    if not (missing or unexpected or misshapen):
        return
    parts = [
        f"recognized as {found.title}.",
        f"Missing: {first_of(missing, _MOST)}." if missing else "",
        f"No place in the model for: {first_of(unexpected, _MOST)}." if unexpected else "",
        f"Other shapes: {first_of(misshapen, _MOST)}." if misshapen else "",
        other_architecture(found.weights),
        remedy,
    ]
    raise ValueError(" ".join(part for part in parts if part))


def refuse_missing(names: Sequence[str], found: Found) -> None:
    """Raise an error where a file lacks tensors, of these names in the file, without which no model can be made."""
    if names:
        looks = other_architecture(found.weights)
        raise ValueError(f"recognized as {found.title}. Missing: {first_of(names, _MOST)}. {looks}".rstrip())
