"""Files and folders are whole or absent, and those that cannot be read are named."""

import os

import pytest

from vitpose.base.files import read_json, whole_file, whole_folder


def test_a_file_is_whole_or_keeps_its_old_content(tmp_path):
    path = tmp_path / "card.md"
    path.write_text("old")
    with pytest.raises(RuntimeError), whole_file(path) as partial:
        partial.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["card.md"]
    with whole_file(path) as partial:
        partial.write_text("new")
    assert path.read_text() == "new" and os.listdir(tmp_path) == ["card.md"]


def test_a_folder_is_whole_or_absent(tmp_path):
    path = tmp_path / "model"
    with pytest.raises(RuntimeError), whole_folder(path) as partial:
        (partial / "config.json").write_text("{}")
        raise RuntimeError("killed")
    assert list(tmp_path.iterdir()) == []
    with whole_folder(path) as partial:
        (partial / "config.json").write_text("{}")
        assert not path.exists()
    assert [file.name for file in path.iterdir()] == ["config.json"]
    with pytest.raises(FileExistsError, match="exists already"), whole_folder(path):
        raise AssertionError("an existing folder must not be written over")
    assert [file.name for file in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize(
    ("content", "message"), [(None, "There is no file"), (b'{"a": ', "is not valid JSON"), (b"\xff", "is not valid")]
)
def test_a_json_file_that_cannot_be_read_is_named(tmp_path, content, message) -> None:
    file = tmp_path / "people.json"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        read_json(file)
    assert str(file) in str(caught.value)
