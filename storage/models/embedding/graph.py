"""An OpenVINO graph of a sentence-transformers model: transformer, pooling and whatever comes behind, as one."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from storage.models.embedding.openvino import GRAPH, GRAPH_INT8, TOKENIZER

LEAST_WIDTH = 64
"""Products with fewer inputs are not worth a conversion of theirs to eight bits."""


def write_graphs(model: Any, folder: Path) -> None:
    """Write the graph of a SentenceTransformer in 16 bits, the one with 8-bit weights, and its tokenizer.

    Raises ValueError for a model that takes more than token ids and a mask, or has no tokenizer of the `tokenizers`
    library; whatever the tracer raises for one that it cannot follow.
    """
    import openvino

    backend = getattr(model.tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise ValueError("the model has no fast tokenizer")
    if getattr(model.tokenizer, "padding_side", "right") != "right":
        raise ValueError("the model pads on the left")
    backend.save(str(folder / TOKENIZER))
    with warnings.catch_warnings():
        # The tracer warns of what it takes for constant; whether it is, the trials show.
        warnings.simplefilter("ignore")
        graph = openvino.convert_model(_whole(model), example_input=_example(model), input=[_shape(), _shape()])
    openvino.save_model(graph, folder / GRAPH, compress_to_fp16=True)
    openvino.save_model(_with_int8_weights(folder / GRAPH), folder / GRAPH_INT8, compress_to_fp16=False)


def _shape() -> Any:
    import openvino

    return openvino.PartialShape([-1, -1])


def _whole(model: Any) -> Any:
    """All modules of the model behind two plain inputs."""
    import torch

    class Whole(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.modules_in_order = torch.nn.ModuleList(model.children())

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            features = {"input_ids": input_ids, "attention_mask": attention_mask, "modality": "text"}
            for module in self.modules_in_order:
                features = module(features)
            return features["sentence_embedding"]

    return Whole().eval()


def _example(model: Any) -> tuple[Any, Any]:
    import torch

    features = model.preprocess(["A text to follow.", "Another one, which is a little longer than the first."])
    unknown = set(features) - {"input_ids", "attention_mask", "token_type_ids", "modality"}
    if unknown:
        raise ValueError(f"the model also takes {', '.join(sorted(unknown))}")
    kinds = features.get("token_type_ids")
    if kinds is not None and bool(torch.any(kinds != 0)):
        raise ValueError("the model tells kinds of tokens apart")
    return features["input_ids"].long(), features["attention_mask"].long()


def _with_int8_weights(graph_file: Path) -> Any:
    """The graph with each matrix that is multiplied in 8 bits and a scale per output, symmetric around zero.

    OpenVINO multiplies such matrices with activations that it rounds to 8 bits as they come, in groups.
    """
    import openvino
    from openvino import opset13 as op

    graph = openvino.Core().read_model(graph_file)
    for node in graph.get_ordered_ops():
        if node.get_type_name() != "MatMul":
            continue
        constant = node.input_value(1).get_node()
        while constant.get_type_name() in ("Convert", "Transpose"):
            if constant.get_type_name() == "Transpose":
                break
            constant = constant.input_value(0).get_node()
        if constant.get_type_name() != "Constant" or len(constant.get_output_shape(0)) != 2:
            continue
        matrix = np.asarray(constant.get_data(), dtype=np.float32)
        # One row per output, whichever way round the product takes it.
        rows = matrix if node.get_attributes()["transpose_b"] else matrix.T
        if rows.shape[1] < LEAST_WIDTH:
            continue
        scale = np.maximum(np.abs(rows).max(axis=1, keepdims=True), 1e-12) / 127.0
        small = op.constant(np.clip(np.rint(rows / scale), -127, 127).astype(np.int8))
        wide = op.multiply(op.convert(small, "f32"), op.constant(scale.astype(np.float32)))
        product = op.matmul(node.input_value(0), wide, node.get_attributes()["transpose_a"], True)
        product.set_friendly_name(node.get_friendly_name())
        for target in node.output(0).get_target_inputs():
            target.replace_source_output(product.output(0))
    graph.validate_nodes_and_infer_types()
    return graph
