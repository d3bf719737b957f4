"""Errors carry their place as data."""

import pickle

import pytest
from torch.utils.data import DataLoader, Dataset

from vitpose.base.errors import PlacedError, PlacedTypeError, at_place


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (PlacedError("no place is known."), "no place is known."),
        (PlacedError("not a photo.", ("inputs", 3)), "inputs[3]: not a photo."),
        (PlacedError("must be 4 numbers.", ("boxes", 0, 1), " "), "boxes[0][1] must be 4 numbers."),
        (PlacedError("must be 4.", ("inputs", 3, "boxes", 0), " "), "inputs[3]: boxes[0] must be 4."),
        (PlacedError("NaN.", ("people.json", "row 5")), "people.json: row 5: NaN."),
    ],
)
def test_the_text_is_made_from_the_place(error: PlacedError, text: str) -> None:
    assert str(error) == text


@pytest.mark.parametrize("kind", [PlacedError, PlacedTypeError])
def test_an_error_of_another_process_keeps_its_place(kind: type[PlacedError]) -> None:
    again = pickle.loads(pickle.dumps(kind("must be 4.", ("boxes", 0, 1), " ")))
    assert type(again) is kind
    assert again.place == ("boxes", 0, 1)
    assert str(again) == "boxes[0][1] must be 4."


@pytest.mark.parametrize(
    ("raised", "kind"),
    [(TypeError("bad."), PlacedTypeError), (ValueError("bad."), PlacedError), (OSError("bad."), PlacedError)],
)
def test_a_door_gives_a_plain_error_its_place_and_keeps_its_kind(raised: Exception, kind: type[PlacedError]) -> None:
    with pytest.raises(kind) as caught, at_place("inputs", 3):
        raise raised
    assert type(caught.value) is kind
    assert str(caught.value) == "inputs[3]: bad."
    assert caught.value.__cause__ is raised


def test_doors_put_their_place_in_front_and_may_replace_it() -> None:
    with pytest.raises(PlacedTypeError) as caught, at_place("inputs", 3), at_place("boxes", 0):
        raise TypeError("bad.")
    assert caught.value.place == ("inputs", 3, "boxes", 0)
    caught.value.place = ("photo.jpg", *caught.value.place[2:])
    assert str(caught.value) == "photo.jpg: boxes[0]: bad."


class _Broken(Dataset[int]):
    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> int:
        raise PlacedError("bad.", ("row", index))


def test_a_worker_of_a_data_loader_hands_its_text_on() -> None:
    with pytest.raises(PlacedError, match=r"PlacedError: row\[0\]: bad\."):
        next(iter(DataLoader(_Broken(), num_workers=1)))
