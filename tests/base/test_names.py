"""The message about an unknown name."""

import pytest

from vitpose.base.names import first_of, unknown_name

KNOWN = ["tiny", "small", "base"]
LISTED = "preset: expected one of tiny, small, base, got "


@pytest.mark.parametrize(
    ("why", "name", "remedy", "message"),
    [
        ("a slip of the finger", "bsae", "", LISTED + "'bsae'. Did you mean 'base'?"),
        ("other capitals", "Small", "", LISTED + "'Small'. Did you mean 'small'?"),
        ("nothing near", "xxl", "", LISTED + "'xxl'."),
        ("no string", 3, "", LISTED + "3."),
        ("a remedy at the end", "smal", "See the docs.", LISTED + "'smal'. Did you mean 'small'? See the docs."),
    ],
)
def test_the_message_lists_what_is_known_and_the_nearest(why: str, name: object, remedy: str, message: str) -> None:
    assert unknown_name("preset", name, KNOWN, remedy=remedy) == message


@pytest.mark.parametrize(
    ("values", "text"), [([], ""), ([1], "1"), (range(5), "0, 1, 2, 3, 4"), (range(12), "0, 1, 2, 3, 4 and 7 more")]
)
def test_of_many_values_the_first_are_listed_and_the_others_counted(values, text) -> None:
    assert first_of(values) == text
