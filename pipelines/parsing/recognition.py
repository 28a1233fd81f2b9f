"""Recognition of text on pictures of pages (OCR), by RapidOCR with the models of its wheel; the extra `ocr`."""

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pipelines.parsing.limits import ParseLimits
from pipelines.parsing.reading_order import Line, page_text

PACKAGES = ("rapidocr", "pypdfium2")
DOTS_PER_INCH = 150
"""With more, short lines alone on a page are found less often (PP-OCRv6, small)."""
MAX_SIDE = 4_000
"""Pixels of the longer side of a page, however large it says it is."""
LEAST_CONFIDENCE = 0.5
"""Of a line; what is below that is as likely a speck."""
_MODELS = {
    "Det": "PP-OCRv6_det_small.onnx",
    "Rec": "PP-OCRv6_rec_small.onnx",
    "Cls": "ch_ppocr_mobile_v2.0_cls_mobile.onnx",
}


@dataclass(frozen=True, slots=True)
class RecognisedPage:
    text: str
    confidence: float
    """From 0 to 1: that of its lines, weighted by their characters; 0 without text."""


def is_installed() -> bool:
    """Whether the extra `ocr` is there."""
    return all(find_spec(package) is not None for package in PACKAGES)


def recognise(data: bytes, pages: Sequence[int], limits: ParseLimits) -> dict[int, RecognisedPage]:
    """The text of a PDF's pages by their numbers, from 1; of pages that cannot be drawn there is none.

    Pages beyond the limits are left out. Raises ImportError without the extra.
    """
    deadline = time.monotonic() + limits.recognise_seconds
    found: dict[int, RecognisedPage] = {}
    recogniser = Recogniser(limits.recognise_threads)
    for number, picture in _pictures(data, pages[: limits.recognise_pages]):
        found[number] = RecognisedPage("", 0.0) if picture is None else recogniser.page(picture)
        if time.monotonic() >= deadline:
            break
    return found


def mean_confidence(pages: Sequence[RecognisedPage]) -> float:
    """Over all of their characters."""
    characters = sum(len(page.text) for page in pages)
    return sum(page.confidence * len(page.text) for page in pages) / characters if characters else 0.0


class Recogniser:
    """The loaded models; nothing is ever downloaded."""

    def __init__(self, threads: int) -> None:
        import cv2
        import rapidocr
        from rapidocr import EngineType, RapidOCR

        cv2.setNumThreads(threads)
        folder = Path(rapidocr.__file__).parent / "models"
        params: dict[str, Any] = {"Global.text_score": LEAST_CONFIDENCE, "Global.log_level": "critical"}
        params["EngineConfig.openvino.inference_num_threads"] = threads
        for task, file in _MODELS.items():
            params |= {f"{task}.engine_type": EngineType.OPENVINO, f"{task}.model_path": str(folder / file)}
        self._read = RapidOCR(params=params)

    def page(self, picture: Any) -> RecognisedPage:
        """Of an image as an array of shape (height, width, 3), blue first."""
        output: Any = self._read(picture)
        if output.txts is None or output.boxes is None:
            return RecognisedPage("", 0.0)
        lines = [
            Line(float(low[0]), float(low[1]), float(high[0]), float(high[1]), text.strip(), float(score))
            for low, high, text, score in zip(
                output.boxes.min(axis=1), output.boxes.max(axis=1), output.txts, output.scores, strict=True
            )
            if text.strip()
        ]
        characters = sum(len(line.text) for line in lines)
        if not characters:
            return RecognisedPage("", 0.0)
        confidence = sum(line.confidence * len(line.text) for line in lines) / characters
        return RecognisedPage(page_text(lines), confidence)


def _pictures(data: bytes, pages: Sequence[int]) -> Iterator[tuple[int, Any]]:
    """Each page as it would be printed, None for one that cannot be drawn."""
    from pypdfium2 import PdfDocument, PdfiumError

    with closing(PdfDocument(data)) as document:
        for number in pages:
            try:
                page = document[number - 1]
                scale = min(DOTS_PER_INCH / 72, MAX_SIDE / max(1.0, *page.get_size()))
                picture = page.render(scale=scale).to_numpy()
            except (PdfiumError, ValueError, IndexError):
                picture = None
            yield number, picture
