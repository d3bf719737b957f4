"""Boxes of people in a file, for `vitpose predict --boxes`."""

import pytest
from predict_help import predict, read_results, write_boxes


def test_each_box_of_a_file_is_a_person(photos, model, tmp_path, caplog):
    entries = [
        {"file_name": "street.png", "bbox": [5, 5, 30, 60]},
        {"file_name": "beach.jpg", "bbox": [10, 20, 40, 50]},
        {"file_name": "street.png", "bbox": [40, 10, 30, 80]},
        {"file_name": "elsewhere.png", "bbox": [0, 0, 5, 5]},
    ]
    boxes = write_boxes(tmp_path / "boxes.json", entries)
    assert predict(photos, "--model", model, "--boxes", boxes, "--out", tmp_path / "out") == 0
    found = [(result["file_name"], result["bbox"]) for result in read_results(tmp_path / "out")]
    assert found == [("beach.jpg", [10, 20, 40, 50]), ("street.png", [5, 5, 30, 60]), ("street.png", [40, 10, 30, 80])]
    assert "boxes.json has boxes of files that are not among the photos (1), such as elsewhere.png." in caplog.text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"file_name": "beach.jpg"}, "expected a list of"),
        ([["beach.jpg", [0, 0, 5, 5]]], "expected a list of"),
        ([7], "expected a list of"),
        ([{"file_name": "beach.jpg"}], "expected a list of"),
        ([{"file_name": "beach.jpg", "bbox": [0, 0, 5, 5]}], "has no box for street.png. Add one, or leave"),
        ("[{", "boxes.json is not valid JSON"),
    ],
)
def test_a_bad_boxes_file_is_named(photos, model, tmp_path, capsys, content, message):
    boxes = write_boxes(tmp_path / "boxes.json", content)
    assert predict(photos, "--model", model, "--boxes", boxes, "--out", tmp_path / "out") == 2
    shown = capsys.readouterr().err
    assert message in shown and "boxes.json" in shown
    assert "Traceback" not in shown


@pytest.mark.parametrize(
    ("bbox", "message"),
    [
        ([0, 0, 5], "x, y, width, height"),
        ([0, 0, 0, 5], "width"),
        (["a", 0, 5, 5], "rows of numbers"),
    ],
)
def test_a_bad_box_is_named(photos, model, tmp_path, capsys, bbox, message):
    boxes = write_boxes(tmp_path / "boxes.json", [{"file_name": "beach.jpg", "bbox": bbox}])
    assert predict(photos[:1], "--model", model, "--boxes", boxes, "--out", tmp_path / "out") == 2
    shown = capsys.readouterr().err
    assert f"error: {photos[0]}: boxes[0]" in shown
    assert message in shown


def test_a_box_outside_costs_its_photo_alone(photos, model, tmp_path):
    entries = [{"file_name": path.name, "bbox": [5, 5, 30, 60]} for path in photos]
    boxes = write_boxes(tmp_path / "boxes.json", [*entries, {"file_name": "beach.jpg", "bbox": [500, 500, 5, 5]}])
    assert predict(photos, "--model", model, "--boxes", boxes, "--out", tmp_path / "out") == 1
    assert [result["file_name"] for result in read_results(tmp_path / "out")] == ["street.png"]
    assert "lies wholly outside" in (tmp_path / "out" / "failed.csv").read_text()


def test_photos_alike_go_by_their_folders(photos, model, tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "1.jpg").write_bytes(photos[0].read_bytes())
    folders = [tmp_path / "a", tmp_path / "b"]
    entries = [{"file_name": "b/1.jpg", "bbox": [5, 5, 30, 60]}, {"file_name": "a/1.jpg", "bbox": [1, 1, 50, 60]}]
    boxes = write_boxes(tmp_path / "boxes.json", entries)
    assert predict(folders, "--model", model, "--boxes", boxes, "--out", tmp_path / "out") == 0
    assert [result["bbox"][0] for result in read_results(tmp_path / "out")] == [1, 5]
    boxes = write_boxes(tmp_path / "boxes.json", [{"file_name": "1.jpg", "bbox": [5, 5, 30, 60]}])
    assert predict(folders, "--model", model, "--boxes", boxes, "--out", tmp_path / "out") == 2  # which of them?
