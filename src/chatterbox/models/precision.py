"""Precision: in which numbers the networks compute.

| | T3 | flow of S3Gen | vocoder |
|---|---|---|---|
| fp32 | float32: the reference, equal to upstream | float32 | float32 |
| bf16 | bfloat16 | bfloat16 | bfloat16 |
| fp16 | float16; on a CPU weights, keys and values | float16; on a CPU float32 | float16; on a CPU bfloat16 |
| int8 | 8-bit integers, keys and values float16; CPU only | 8-bit integers | bfloat16 |

On a CPU without bfloat16 arithmetic, what would be bfloat16 outside T3 is float32.
"""

from typing import Literal

import torch

from chatterbox.errors import ConfigError

Precision = Literal["fp32", "bf16", "fp16", "int8"]


def check_precision(precision: Precision, device: torch.device) -> None:
    """Raise ConfigError when the device cannot compute so."""
    if precision == "int8" and device.type != "cpu":
        raise ConfigError("the precision int8 is for CPUs; a GPU is faster in bf16")


def flow_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """What the flow computes in, where it is not int8."""
    if precision == "fp32" or (precision == "fp16" and device.type == "cpu"):
        return torch.float32
    return vocoder_dtype(precision, device)


def vocoder_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """What the vocoder's up-sampling network computes in."""
    if precision == "fp32":
        return torch.float32
    if device.type == "cpu":
        return torch.bfloat16 if _cpu_multiplies_bfloat16() else torch.float32
    return torch.float16 if precision == "fp16" else torch.bfloat16


def _cpu_multiplies_bfloat16() -> bool:
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
