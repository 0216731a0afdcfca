"""Precision: a loaded T3 made ready to speak, in the precision the user chose."""

import torch
from torch import nn

from chatterbox.models.layers.linear import DTYPES, check_kernels, pack_layers, packed
from chatterbox.models.precision import Precision
from chatterbox.models.t3.llama import LlamaBackbone
from chatterbox.models.t3.model import T3


def convert_t3(t3: T3, precision: Precision) -> None:
    """Lay out a loaded T3 for inference, in place, on the device where it is.

    Products that read the same input become one, and weights take the form of `precision`; the
    float32 originals are freed as it goes. Afterwards T3 cannot be saved or trained. Raises
    ConfigError where this machine has no kernel for it.
    """
    device = t3.speech_embedding.weight.device
    check_kernels(precision, device)
    if device.type == "cpu":
        pack_t3(t3, precision)
    else:
        cast_t3(t3, DTYPES[precision])


def pack_t3(t3: T3, precision: Precision) -> None:
    """For a CPU: packed weights; norms, sums, attention and scores stay in float32."""
    _fuse(t3)
    if precision != "fp32":
        # The largest table of Turbo and Nano; a few rows are read per utterance.
        t3.text_embedding.to(torch.float16)
    pack_layers(t3.backbone, precision)
    # An error in a score is heard at once, and the head is a fiftieth of the weights.
    head: Precision = "fp16" if precision == "int8" else precision
    assert isinstance(t3.speech_head, nn.Linear)
    t3.speech_head = packed(t3.speech_head, head)


def cast_t3(t3: T3, dtype: torch.dtype) -> None:
    """For a GPU: ordinary layers, with everything but the turns of the positions in `dtype`."""
    _fuse(t3)
    t3.to(dtype)


def _fuse(t3: T3) -> None:
    if isinstance(t3.backbone, LlamaBackbone):
        t3.backbone.fuse()
