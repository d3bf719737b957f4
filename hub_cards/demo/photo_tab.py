"""Photos: examples, an upload and the source of people on the left; the drawn photo on the right."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

from PIL import Image

from vitpose.processing.keypoint_detection_pipeline import DETECTOR_THRESHOLD
from vitpose.processing.people_forms_vitpose import CONFIDENCE_THRESHOLD

from .answers import Found, Look, draw_preview, summarize
from .box_editor import box_editor, boxes_of, view_of
from .boxes import format_boxes, parse_boxes
from .gradio_import import gr
from .messages import MISTAKES, say, say_mistake
from .model import Choice, Demo
from .photos import Photo, open_photo
from .widgets import HALF_PHONE_WIDTH, QUIET, RAW, download, file_path, legend, source_radio, threshold_slider

WAYS: list[Literal["upload", "webcam", "clipboard"]] = ["upload", "webcam", "clipboard"]
UPLOAD_HEIGHT = 190  # pixels
HINT = "Upload a photo, take one, or choose an example."
BUSY = "Looking for people and their keypoints …"
TYPED = "Leave the field to find the people in these boxes."
DRAW_BOXES = "Draw a box around each person in the photo."
BOXES, IDS, SCORES, PERSON_COLORS = "boxes", "numbers", "scores", "a color a person"
# On a telephone the drawn photo is below the fold: what was asked for comes into sight.
SHOW_ANSWER = "() => document.getElementById('photo-view').scrollIntoView({behavior: 'smooth', block: 'nearest'})"
FETCH_PICTURE = "() => document.getElementById('full-picture').click()"
TO_TEXT = "({boxes}) => boxes.map((box) => box.join(', ')).join('\\n')"

Update = dict[Any, Any]
"""New values of components."""


class PhotoTab:
    """The components of the tab, and what happens when they are used.

    A photo that was opened (`Photo`) and what was found in it (`Found`) are kept for each visitor, so that another look
    needs no other prediction.
    """

    def __init__(self, demo: Demo, model: Any, dataset: Any) -> None:
        self._demo, self._model, self._dataset = demo, model, dataset
        self._photo, self._found = gr.State(), gr.State()
        self._own_source = gr.State(demo.sources[0])  # what the visitor chose, other than an example's
        with gr.Row(elem_classes="question-and-answer"):
            with gr.Column():
                self._build_question()
            with gr.Column():
                self._build_answer()

    def _build_question(self) -> None:
        picture = gr.Image(visible=False, label="Examples")
        samples = [[str(example.path)] for example in self._demo.examples]
        self._examples = gr.Dataset(
            components=[picture], samples=samples, type="index", label="Examples", elem_id="examples"
        )
        self._upload = gr.Image(
            type="filepath", image_mode=None, sources=WAYS, label="Your photo", height=UPLOAD_HEIGHT, elem_id="upload"
        )
        with gr.Column(elem_classes="late"):
            self._build_source()

    def _build_source(self) -> None:
        self._source = source_radio(self._demo.sources)
        first = self._demo.sources[0]
        self._least = gr.Slider(
            *(0, 1, DETECTOR_THRESHOLD),
            step=0.05,
            label="Least score of a detected person",
            visible=first == "detector",
        )
        self._text = gr.Textbox(
            label="Boxes in pixels of the photo, one a line: x, y, width, height",
            lines=2,
            max_lines=8,
            visible=first == "boxes",
            elem_id="boxes-text",
        )

    def _build_answer(self) -> None:
        self._editor = box_editor()
        self._summary = gr.HTML(say(HINT), elem_id="summary", apply_default_css=False)
        self._legend = gr.HTML(apply_default_css=False)
        with gr.Column(elem_classes="last"):
            self._build_look()
        self._file = gr.DownloadButton(visible="hidden", elem_id="full-picture")

    def _build_look(self) -> None:
        self._threshold = threshold_slider()
        self._look = gr.CheckboxGroup([BOXES, IDS, SCORES, PERSON_COLORS], label="Also draw", value=[])
        with gr.Row():
            small: dict[str, Any] = {"size": "md", "min_width": HALF_PHONE_WIDTH}
            self._json = gr.DownloadButton("JSON", interactive=False, **small)
            self._csv = gr.DownloadButton("CSV", interactive=False, **small)
            self._picture = gr.Button("Picture in full size", interactive=False, **small)

    def connect(self, blocks: Any, model_chosen: Sequence[Any]) -> None:
        """Say what happens when components are used.

        Args:
            blocks: The page.
            model_chosen: Events after which another model or dataset is chosen.
        """
        choice = [self._model, self._dataset, self._source, self._text, self._least]
        look = [self._threshold, self._look]
        answer = [self._found, self._editor, self._summary, self._legend, self._json, self._csv, self._picture]
        fresh = [self._upload, self._photo, self._source, self._text, self._least]
        slow: dict[str, Any] = {**RAW, "show_progress_on": self._editor}
        # the photo stays in sight while the next box is drawn on it
        latest: dict[str, Any] = {**RAW, "show_progress": "hidden", "trigger_mode": "always_last"}

        start = {"fn": self._solve, "inputs": [self._model, self._dataset, *look], "outputs": [*fresh, *answer], **slow}
        blocks.load(**start)
        example = [self._examples, self._model, self._dataset, *look]
        for event in (
            self._examples.click(self._solve_chosen, example, [*fresh, *answer], **slow),
            self._upload.input(self._open, [self._upload, self._own_source, *choice, *look], [*fresh, *answer], **slow),
        ):
            event.then(None, js=SHOW_ANSWER)
        self._source.input(
            self._choose_source,
            [self._photo, self._found, *choice, *look],
            [self._own_source, self._text, self._least, *answer],
            **slow,
        )
        again: dict[str, Any] = {"fn": self._find, "inputs": [self._photo, *choice, *look], "outputs": answer}
        for event in model_chosen:
            event.success(**again, **slow)
        self._least.change(**again, **latest)
        self._editor.edit(None, self._editor, self._text, js=TO_TEXT, **QUIET).then(**again, **latest)
        self._text.input(
            self._show_typed,
            [self._photo, self._text],
            [self._editor, self._summary],
            **{**QUIET, "trigger_mode": "always_last"},
        )
        for typed in (self._text.blur, self._text.submit):
            typed(**{**again, "fn": self._find_typed}, **latest)
        for changed in (self._threshold.change, self._look.change):
            changed(
                self._show,
                [self._found, self._source, *look],
                [self._editor, self._summary, self._legend],
                **{**QUIET, "trigger_mode": "always_last"},
            )
        self._picture.click(self._write_picture, [self._found, *look], [self._file, self._summary], **RAW).success(
            None, js=FETCH_PICTURE
        )

    # ------------------------------------------------------------------------------------------------ what happens

    def _solve(self, model: str, dataset: str, *look: Any) -> Update:
        return self._solve_chosen(0, model, dataset, *look)

    def _solve_chosen(self, number: int, model: str, dataset: str, *look: Any) -> Update:
        """Show an example with its people."""
        try:
            found = self._demo.solve(number, model=model, dataset=dataset)
        except MISTAKES as error:
            return {self._summary: say_mistake(error)}
        boxes, source = self._demo.examples[number].boxes or (), self._demo.source_of(number)
        shown = [list(map(round, box)) for box in boxes]
        return {
            self._photo: found.photo,
            self._text: gr.Textbox(format_boxes(shown), visible=source == "boxes"),
            self._source: source,
            self._least: gr.Slider(visible=source == "detector"),
            **self._answer(found, source, look, boxes=shown),
        }

    def _open(self, file: Any, own_source: Any, *settings: Any) -> Iterator[Update]:
        """Show a photo that was just uploaded, and then its people."""
        if file is None:
            yield {self._summary: gr.skip()}
            return
        try:
            photo = open_photo(file_path(file))
        except MISTAKES as error:
            yield {self._upload: None, self._summary: say_mistake(error)}
            return
        is_editable = own_source == "boxes"
        yield {
            **self._no_files(),
            self._upload: None,
            self._photo: photo,
            self._source: own_source,
            self._text: gr.Textbox("", visible=is_editable),
            self._least: gr.Slider(visible=own_source == "detector"),
            self._editor: self._editor_of(photo, photo.preview, "the photo", is_editable, boxes=[]),
            self._summary: say(DRAW_BOXES if is_editable else BUSY),
        }
        model, dataset, _, _, least, *look = settings
        if not is_editable:
            yield self._find(photo, model, dataset, own_source, "", least, *look)

    def _find(
        self,
        photo: Photo | None,
        model: str,
        dataset: str,
        source: Any,
        text: str,
        least: float,
        *look: Any,
        new_boxes: Sequence[Any] | None = None,
    ) -> Update:
        """Find the people of the photo; `new_boxes` are for the editor."""
        if photo is None:
            return {self._summary: say(HINT)}
        try:
            boxes = parse_boxes(text, photo.size) if source == "boxes" else []
            if source == "boxes" and not boxes:
                editor = self._editor_of(photo, photo.preview, "the photo", is_editable=True)
                return {self._editor: editor, self._summary: say(DRAW_BOXES), **self._no_files()}
            choice = Choice(
                model=model, dataset=dataset, source=source, boxes=tuple(boxes), detector_threshold=float(least)
            )
            return self._answer(self._demo.find(photo, choice), source, look, boxes=new_boxes)
        except MISTAKES as error:
            return {self._summary: say_mistake(error)}

    def _find_typed(self, photo: Photo | None, *settings: Any) -> Update:
        """Find the people of boxes that were typed, and show these."""
        model, dataset, source, text, least, *look = settings
        try:
            boxes = parse_boxes(text, photo.size) if photo else []
        except ValueError as error:
            return {self._summary: say_mistake(error)}
        return self._find(photo, model, dataset, source, text, least, *look, new_boxes=boxes)

    def _choose_source(self, photo: Photo | None, found: Found | None, *settings: Any) -> Update:
        """Show the fields of a source, and its people; boxes begin with those that were found."""
        model, dataset, source, text, least, *look = settings
        fields = {
            self._own_source: source,
            self._text: gr.Textbox(visible=source == "boxes"),
            self._least: gr.Slider(visible=source == "detector"),
        }
        if source != "boxes" or photo is None:
            return {**fields, **self._find(photo, *settings)}
        boxes = [] if found is None else [list(map(round, box)) for box in found.people.boxes_xywh.tolist()]
        text = format_boxes(boxes)
        return {
            **fields,
            self._text: gr.Textbox(text, visible=True),
            **self._find(photo, model, dataset, source, text, least, *look, new_boxes=boxes),
        }

    def _show_typed(self, photo: Photo | None, text: str) -> Update:
        """Show boxes on the photo as they are typed, or what is wrong with them."""
        if photo is None:
            return {self._summary: say(HINT)}
        try:
            boxes = parse_boxes(text, photo.size)
        except ValueError as error:
            return {self._summary: say_mistake(error)}
        return {self._editor: boxes_of(photo.key, boxes), self._summary: say(TYPED)}

    def _show(self, found: Found | None, source: Any, *look: Any) -> Update:
        """Show what was found in another way."""
        if found is None:
            return {self._summary: gr.skip()}
        try:
            return self._drawn(found, source, _look(*look))
        except MISTAKES as error:
            return {self._summary: say_mistake(error)}

    def _write_picture(self, found: Found | None, *look: Any) -> Update:
        """Write the drawn photo in full size, to be downloaded."""
        if found is None:
            return {self._summary: say(HINT)}
        try:
            return {self._file: download(self._demo.write_picture(found, _look(*look)))}
        except MISTAKES as error:
            return {self._file: download(None), self._summary: say_mistake(error)}  # and no old one

    # ----------------------------------------------------------------------------------------------- what is shown

    def _answer(self, found: Found, source: Any, look: Sequence[Any], boxes: Sequence[Any] | None = None) -> Update:
        """All about what was found; `boxes` are new ones for the editor."""
        drawn = self._drawn(found, source, _look(*look), boxes)
        json_file, csv_file = self._demo.write_files(found)
        return {
            self._found: found,
            **drawn,
            self._json: download(json_file),
            self._csv: download(csv_file),
            self._picture: gr.Button(interactive=True),
        }

    def _drawn(self, found: Found, source: Any, look: Look, boxes: Sequence[Any] | None = None) -> Update:
        text = summarize(found, look)
        picture = draw_preview(found, look)
        return {
            self._editor: self._editor_of(found.photo, picture, text, source == "boxes", boxes=boxes),
            self._summary: say(text),
            self._legend: legend(found.people.schema, look.color_by),
        }

    def _no_files(self) -> Update:
        return {
            self._found: None,
            **dict.fromkeys((self._json, self._csv), download(None)),
            self._picture: gr.Button(interactive=False),
        }

    @staticmethod
    def _editor_of(
        photo: Photo, picture: Image.Image, text: str, is_editable: bool, *, boxes: Sequence[Any] | None = None
    ) -> Any:
        """The photo as the editor shows it; without `boxes` they stay."""
        view = view_of(picture, size=photo.size, text=text, editable=is_editable, key=photo.key)
        return gr.HTML(view=view) if boxes is None else gr.HTML(value=boxes_of(photo.key, boxes), view=view)


def _look(threshold: Any = CONFIDENCE_THRESHOLD, also: Sequence[str] = ()) -> Look:
    return Look(
        threshold=float(threshold),
        boxes=BOXES in also,
        ids=IDS in also,
        scores=SCORES in also,
        color_by="person" if PERSON_COLORS in also else "side",
    )
