"""The message about an unknown name."""

import pytest

from vitpose.base.names import unknown_name

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
