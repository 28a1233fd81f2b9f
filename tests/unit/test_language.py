"""The language of documents: known ones are told, and where there is none to tell, none is."""

import pytest

from pipelines.language import language_of
from tests.fixtures.shared_data import shared_json

SENTENCES = {
    "en": "The warranty of the lamp is two years, and you may send it back within a month.",
    "de": "Die Garantie der Lampe beträgt zwei Jahre, und Sie können sie einen Monat lang zurückgeben.",
    "fr": "La garantie de la lampe est de deux ans et vous pouvez la retourner dans un délai d'un mois.",
    "es": "La garantía de la lámpara es de dos años y puede devolverla en cualquier tienda durante el primer mes.",
    "pl": "Gwarancja na lampę wynosi dwa lata i można ją zwrócić w dowolnym sklepie w ciągu miesiąca.",
    "ru": "Гарантия на лампу два года. Её можно вернуть в магазин в течение месяца.",
    "ar": "مدة ضمان المصباح سنتان ويمكن إرجاعه إلى أي متجر خلال شهر واحد من تاريخ الشراء.",
    "ja": "このランプには2年間の保証があります。返品は一か月以内に可能です。店舗でお渡しください。",
    "zh": "这盏灯的保修期为两年，您可以在一个月内将其退回任何商店。我们的客服随时为您服务。",
}


@pytest.mark.parametrize("language", SENTENCES)
def test_languages_are_told(language: str) -> None:
    assert language_of(SENTENCES[language]) == language


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Lamp",
        "12 34 56 78 90 " * 30,
        "name: Lamp | price: 10\nname: Tube | price: 20\nname: Cable | price: 15",
        "=" * 500,
    ],
)
def test_what_has_no_language_has_none(text: str) -> None:
    assert language_of(text) is None


def test_the_whole_text_decides_and_not_its_beginning() -> None:
    assert language_of("Foreword: thanks to everybody who helped.\n" + SENTENCES["de"] * 200) == "de"
    assert language_of(SENTENCES["en"] * 300) == "en"


@pytest.mark.parametrize("language", ["en", "de"])
def test_paragraphs_of_an_encyclopaedia(language: str) -> None:
    data = shared_json(f"rag/xquad.{language}.json")["data"]
    found = [language_of(paragraph["context"]) for article in data for paragraph in article["paragraphs"]]
    assert set(found) <= {language, None}
    assert found.count(language) >= 0.98 * len(found)
