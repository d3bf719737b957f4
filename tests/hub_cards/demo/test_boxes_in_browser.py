"""Boxes on the photo of the demo's page: drawn with a mouse or a finger, typed, moved by keyboard."""

import pytest

pytestmark = pytest.mark.slow


def drawn(page) -> list[list[float]]:
    """The boxes on the photo, in its pixels."""
    script = "boxes => boxes.map(box => ['x', 'y', 'width', 'height'].map(side => Number(box.getAttribute(side))))"
    return page.locator("#photo-view g[data-box] .line").evaluate_all(script)


def typed(page) -> str:
    return page.locator("#boxes-text textarea").input_value()


def people(page, count: int) -> None:
    """Wait until so many people are found, or nobody is asked for."""
    words = {0: "Draw a box", 1: "1 person,"}.get(count, f"{count} people,")
    page.locator("#summary", has_text=words).wait_for()


def start(page, kept: int) -> None:
    """Keep so many of the first example's two boxes."""
    page.locator("#photo-view").scroll_into_view_if_needed()
    for left in range(1, kept - 1, -1):
        page.locator("#photo-view g[data-box]").last.focus()
        page.get_by_role("button", name="Remove box").click()
        people(page, left)


def place(page, x: float, y: float) -> tuple[float, float]:
    """A point of the photo, given in parts of its sides, in pixels of the window."""
    frame = page.locator("#photo-view .stage svg").bounding_box()
    return frame["x"] + x * frame["width"], frame["y"] + y * frame["height"]


def drag(page, *points: tuple[float, float]) -> None:
    page.mouse.move(*place(page, *points[0]))
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*place(page, *point), steps=5)


def swipe(page, first: tuple[float, float], last: tuple[float, float]) -> None:
    """A finger from one point to another."""
    session = page.context.new_cdp_session(page)

    def touch(kind: str, *points: tuple[float, float]) -> None:
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y} for x, y in points]})

    (left, top), (right, bottom) = place(page, *first), place(page, *last)
    touch("touchStart", (left, top))
    for part in (0.25, 0.5, 0.75, 1):
        touch("touchMove", (left + part * (right - left), top + part * (bottom - top)))
    touch("touchEnd")


def tap(page, point: tuple[float, float]) -> None:
    at = place(page, *point)
    if page.kind == "telephone":
        page.touchscreen.tap(*at)
    else:
        page.mouse.click(*at)


def near(box: list[float], photo: tuple[int, int], expected: tuple[float, float, float, float]) -> bool:
    """Whether a box covers these parts of the photo, up to 2 % of it."""
    sides = (*photo, *photo)
    return all(abs(value / side - part) < 0.02 for value, side, part in zip(box, sides, expected, strict=True))


EXAMPLE = (280, 235)  # width, height of the first one


def test_a_box_is_seen_while_it_is_dragged_and_answered_when_it_is_done(page):
    start(page, kept=0)
    drag(page, (0.1, 0.1), (0.3, 0.5))
    assert page.locator("#photo-view .stage > svg > rect.line").count() == 1, "it is seen before the button is released"
    page.mouse.move(*place(page, 0.5, 0.95), steps=3)
    page.mouse.up()
    people(page, 1)
    (box,) = drawn(page)
    assert near(box, EXAMPLE, (0.1, 0.1, 0.4, 0.85))
    assert typed(page) == ", ".join(f"{side:g}" for side in box)


def test_two_taps_make_a_box(page):
    start(page, kept=1)
    tap(page, (0.64, 0.05))
    page.get_by_text("Now tap the opposite corner.").wait_for()
    assert page.locator("#photo-view .corner").count() == 1
    tap(page, (0.96, 0.93))
    people(page, 2)
    assert near(drawn(page)[1], EXAMPLE, (0.64, 0.05, 0.32, 0.88))


def test_a_finger_drags_a_box_without_scrolling_the_page(page):
    if page.kind != "telephone":
        pytest.skip("a desk has a mouse")
    start(page, kept=0)
    before = page.evaluate("window.scrollY")
    swipe(page, (0.1, 0.2), (0.5, 0.9))
    people(page, 1)
    assert near(drawn(page)[0], EXAMPLE, (0.1, 0.2, 0.4, 0.7))
    assert page.evaluate("window.scrollY") == before


def test_boxes_are_undone_and_removed(page):
    undo, remove = (page.get_by_role("button", name=name) for name in ("Undo", "Remove box"))
    assert undo.is_disabled() and remove.is_disabled()
    first, second = drawn(page)
    page.locator("#photo-view g[data-box]").first.focus()
    remove.click()
    people(page, 1)
    assert drawn(page) == [second]
    undo.click()
    people(page, 2)
    assert drawn(page) == [first, second] and undo.is_disabled()
    assert typed(page).count("\n") == 1


def test_the_keyboard_adds_moves_and_removes_a_box(page):
    page.get_by_role("button", name="Add box").click()
    people(page, 3)
    before = drawn(page)[2]
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowDown")
    after = drawn(page)[2]
    assert after[0] > before[0] and after[3] > before[3] and after[1:3] == before[1:3]
    page.wait_for_timeout(1500)
    assert typed(page).splitlines()[2] == ", ".join(f"{side:g}" for side in after)
    page.keyboard.press("Delete")
    people(page, 2)


def test_a_selected_box_is_moved_and_resized(page):
    start(page, kept=2)
    (x, y, width, height), _ = drawn(page)
    tap(page, (0.3, 0.5))
    page.locator("#photo-view g.selected").wait_for()
    drag(page, (0.3, 0.5), (0.33, 0.5))
    page.mouse.up()
    moved = drawn(page)[0]
    assert moved[0] > x and moved[1:] == [y, width, height]
    corner = (moved[0] + width) / EXAMPLE[0], (y + height) / EXAMPLE[1]
    drag(page, corner, (corner[0] - 0.1, corner[1] - 0.1))
    page.mouse.up()
    resized = drawn(page)[0]
    assert resized[:2] == moved[:2] and resized[2] < width and resized[3] < height


def test_typed_numbers_keep_every_digit(page):
    text = page.locator("#boxes-text textarea")
    text.click()
    page.keyboard.press("Control+A")
    page.keyboard.type("12, 7.45, 74", delay=30)
    page.keyboard.type("5, 1745", delay=30)
    page.wait_for_timeout(1500)
    assert typed(page) == "12, 7.45, 745, 1745"
    assert drawn(page) == [[12, 7.45, 745, 1745]], "and is on the photo while it is typed"
    text.blur()
    people(page, 1)
    assert typed(page) == "12, 7.45, 745, 1745"


def test_a_line_that_is_no_box_is_told_by_its_number(page):
    text = page.locator("#boxes-text textarea")
    text.fill("")
    page.keyboard.type("10, 10, 50, 80\n20, twenty, 5, 5")
    told = page.get_by_text("Line 2: expected four numbers x, y, width, height, got '20, twenty, 5, 5'.")
    told.wait_for()
    text.blur()
    page.wait_for_timeout(1000)
    assert told.count() == 1


def test_pasted_boxes_are_answered(page):
    text = page.locator("#boxes-text textarea")
    text.fill("[100.5, 20, 90, 200]")
    text.blur()
    people(page, 1)
    assert drawn(page) == [[100.5, 20, 90, 200]]


def test_boxes_begin_with_the_people_that_were_found(page):
    page.get_by_label("one fills the picture").first.check()
    people(page, 1)
    assert not page.locator("#photo-view .stage svg").is_visible()
    page.get_by_label("in boxes that I draw").check()
    page.locator("#photo-view g[data-box]").first.wait_for()
    assert drawn(page) == [[0, 0, *EXAMPLE]]
