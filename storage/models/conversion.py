"""The conversion of a GGUF file into safetensors, a tokenizer and a chat template; runs as a process of its own.

vLLM on CPU does not run GGUF. The loader of transformers would want `accelerate` for this, which nothing else here
needs, so the tensors are read with its GGUF reader and put into a model made from the file's own configuration.
"""

import sys
from pathlib import Path


def convert(source: Path, target: Path) -> None:
    """Write `target` (an existing empty folder) from the GGUF file `source`. Raises ValueError for missing weights."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
    from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    place = {"gguf_file": source.name, "local_files_only": True}
    tokenizer = AutoTokenizer.from_pretrained(source.parent, **place)
    if tokenizer.chat_template is None:
        raise ValueError("the file has no chat template")
    config = AutoConfig.from_pretrained(source.parent, **place)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)  # type: ignore[no-untyped-call]
    loaded = load_gguf_checkpoint(  # type: ignore[no-untyped-call]
        str(source), return_tensors=True, model_to_load=model, torch_dtype=torch.bfloat16
    )
    model = model.to_empty(device="cpu")
    missing, unexpected = model.load_state_dict(loaded["tensors"], strict=False)
    model.tie_weights()
    tied = {"lm_head.weight"} if config.tie_word_embeddings else set()
    if unexpected or set(missing) - tied:
        raise ValueError(f"the file does not fit its model: {len(missing)} missing, {len(unexpected)} unexpected")
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)


if __name__ == "__main__":
    convert(Path(sys.argv[1]), Path(sys.argv[2]))
