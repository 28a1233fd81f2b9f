"""Environment variables that engine libraries read when they are imported, for the processes that run them."""

from configs.engine_options import VllmOptions
from configs.tables import EngineSpec

_PATIENT_THREADS = {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "0"}
"""Waiting threads sleep instead of spinning: beside other work on the same cores, spinning took a generation down to
3 tokens a second in both local engines, and a batch of sixteen in vLLM from 211 to 23."""


def engine_environment(spec: EngineSpec, *, offline: bool) -> dict[str, str]:
    """What to put into the environment of a replica of `spec`; `offline` when its weights are on disk.

    The variables of vLLM that begin with VLLM_CPU have no effect in a build for GPUs.
    """
    if spec.kind == "vllm":
        values = _PATIENT_THREADS | {
            "VLLM_CPU_NUM_OF_RESERVED_CPU": "0",  # it would keep one core free, which is half of a small machine
            "VLLM_CPU_KVCACHE_SPACE": str(VllmOptions.model_validate(spec.options).kv_cache_gib),
            "VLLM_LOGGING_LEVEL": "WARNING",
            "VLLM_NO_USAGE_STATS": "1",
            "DO_NOT_TRACK": "1",
            "TOKENIZERS_PARALLELISM": "false",
        }
        return values | ({"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"} if offline else {})
    if spec.kind == "llamacpp":
        return dict(_PATIENT_THREADS)
    return {}
