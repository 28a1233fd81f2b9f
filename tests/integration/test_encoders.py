"""Real encoders: what set-up prepared against torch in float32."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from configs.settings import Settings
from storage.models.embedding import EmbeddingModel, EncoderSpec, TextEncoder, encoder_spec, open_encoder
from storage.models.embedding.openvino import BATCH_TEXTS
from storage.models.encoder_choice import load_choice, processor
from tests.fixtures.knowledge import QuestionSet

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def spec(prepared_data_dir: Path) -> EncoderSpec:
    return encoder_spec(Settings(_env_file=None, data_dir=prepared_data_dir))


@pytest.fixture(scope="module")
def exact(spec: EncoderSpec) -> EmbeddingModel:
    return EmbeddingModel(spec.weights, threads=2, precision="float32")


@pytest.fixture(scope="module")
def encoder(spec: EncoderSpec) -> TextEncoder:
    return open_encoder(spec, threads=2, bulk=True)


def test_set_up_has_tried_every_encoder_here(spec: EncoderSpec) -> None:
    choice = load_choice(spec.prepared)
    assert choice is not None
    assert choice.processor == processor()
    assert {(one.backend, one.precision) for one in choice.trials} >= {
        ("torch", "float32"),
        ("openvino", "float32"),
        ("openvino", "int8"),
    }
    assert not [one.problem for one in choice.trials if one.problem]
    assert choice.best().passes


def test_the_chosen_encoder_finds_the_same(encoder: TextEncoder, exact: EmbeddingModel, xquad: QuestionSet) -> None:
    questions = [question.text for question in xquad.questions]
    gold = np.array([question.paragraph for question in xquad.questions])
    mine = encoder.encode(xquad.paragraphs), encoder.encode(questions)
    true = exact.encode(xquad.paragraphs), exact.encode(questions)
    assert min(float((a * b).sum(axis=1).min()) for a, b in zip(mine, true, strict=True)) > 0.99

    def hits(paragraphs: Any, asked: Any) -> float:
        best = np.argsort(-(asked @ paragraphs.T), axis=1)[:, :5]
        return float((best == gold[:, None]).any(axis=1).mean())

    # Also with vectors of both, as after a change of encoder without embedding anew.
    for pair in (mine, (mine[0], true[1]), (true[0], mine[1])):
        assert abs(hits(*pair) - hits(*true)) <= 0.01


def test_vectors_keep_the_order_of_the_texts(encoder: TextEncoder) -> None:
    texts = [f"Number {number} " + "and on " * (number * 7 % 90) for number in range(3 * BATCH_TEXTS + 1)]
    together, alone = encoder.encode(texts), np.concatenate([encoder.encode([text]) for text in texts[:10]])
    assert together.shape == (len(texts), encoder.dimension)
    assert (together[:10] * alone).sum(axis=1).min() > 0.999
    assert np.allclose(np.linalg.norm(together, axis=1), 1.0, atol=1e-4)


def test_hostile_texts_are_only_texts(encoder: TextEncoder, exact: EmbeddingModel) -> None:
    texts = ["", "\x00", "\ud800", "word " * 20_000, "\u202e\u200b", "𝔘" * 500]
    mine = encoder.encode(texts)
    assert np.isfinite(mine).all()
    assert (mine * exact.encode(texts)).sum(axis=1).min() > 0.98
    assert encoder.encode([]).shape == (0, encoder.dimension)
