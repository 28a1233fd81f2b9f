"""Text recognition with the real models, in the limited child process; skipped where the extra is not installed."""

import pytest

from configs.settings import Settings
from domain.documents import Block, IngestionFailure, ParsedDocument, PicturesOnly
from pipelines.parsing import second_reading
from pipelines.parsing.limits import ParseLimits, recognising
from pipelines.parsing.recognition import is_installed
from pipelines.parsing.registry import PDF
from pipelines.parsing.second_reading import parse_twice
from pipelines.work import recognition_limits
from tests.fixtures import files

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
needs_models = pytest.mark.skipif(not is_installed(), reason="the extra `ocr` is not installed: `make ocr`")
INVOICE = "The warranty of the red lamp\nends after thirty months."
LETTER = "Grüße aus Köln. Frau Müller kommt am Dienstag."
LIMITS = ParseLimits()


def parsed(data: bytes, *, pages: int = 10, seconds: float = 200) -> ParsedDocument:
    return parse_twice(data, "scan.pdf", PDF, LIMITS, recognising(LIMITS, pages, seconds))


@needs_models
def test_the_text_of_scanned_pages_has_its_page_and_span_beside_typed_ones() -> None:
    document = parsed(files.joined_pdf(files.pdf(["Typed words."]), files.scanned_pdf([INVOICE, LETTER])))
    assert [(block.page, document.text[block.start : block.end]) for block in document.blocks] == [
        (1, "Typed words."),
        (2, INVOICE),
        (3, LETTER),
    ]
    assert document.pages == 3
    assert document.notice is None
    assert document.recognition is not None
    assert document.recognition.pages == 2
    assert 0.9 < document.recognition.confidence <= 1


@needs_models
def test_pages_beyond_the_limit_are_named_and_a_picture_without_text_too() -> None:
    document = parsed(
        files.joined_pdf(files.scanned_pdf([INVOICE]), files.image_only_pdf(1), files.scanned_pdf([LETTER])), pages=2
    )
    assert {block.page for block in document.blocks} == {1}
    assert document.notice is not None
    assert "Page 3 of 3 is a picture beyond what is recognised" in document.notice
    assert "On page 2 of 3, a picture, no text was found." in document.notice


@needs_models
def test_pictures_without_text_fail_with_that() -> None:
    with pytest.raises(PicturesOnly, match=r"On pages 1–2 of 2, pictures, no text was found"):
        parsed(files.image_only_pdf(2))


def test_without_recognition_the_reason_names_the_extra() -> None:
    with pytest.raises(PicturesOnly, match=r"Page 1 of 1 holds no text.*extra `ocr`"):
        parse_twice(files.scanned_pdf([INVOICE]), "scan.pdf", PDF, LIMITS, None)


def test_what_was_read_first_is_kept_when_recognition_breaks(monkeypatch: pytest.MonkeyPatch) -> None:
    first = ParsedDocument("Typed.", (Block(0, 6, 1),), 2, None, "Page 2 of 2 holds no text.")

    def reading(_data: bytes, _name: str, _kind: str, limits: ParseLimits) -> ParsedDocument:
        if limits.recognise_pages:
            raise IngestionFailure("The file needs too much memory to be read.")
        return first

    monkeypatch.setattr(second_reading, "parse", reading)
    assert parsed(b"") is first

    def pictures(_data: bytes, _name: str, _kind: str, limits: ParseLimits) -> ParsedDocument:
        raise IngestionFailure("It took too long.") if limits.recognise_pages else PicturesOnly("Pictures.")

    monkeypatch.setattr(second_reading, "parse", pictures)
    with pytest.raises(IngestionFailure, match=r"could not be recognised. It took too long."):
        parsed(b"")


def test_an_installation_can_switch_it_off() -> None:
    assert recognition_limits(Settings(ocr="off")) is None
    on = recognition_limits(Settings(ocr="auto", ocr_pages=7, ocr_seconds=60))
    assert (on is not None) is is_installed()
    assert on is None or (on.recognise_pages, on.recognise_seconds) == (7, 60)
