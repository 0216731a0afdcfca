"""Precision: a loaded T3 made ready to speak, in the precision the user chose."""

import torch
from torch import nn

from chatterbox.models.layers.linear import DTYPES, check_kernels, pack_layers, packed
from chatterbox.models.precision import Precision
from chatterbox.models.t3.llama import LlamaBackbone
from chatterbox.models.t3.model import T3


def convert_t3(t3: T3, precision: Precision) -> None:
    """Lay out a loaded T3 for inference, in place, on the device where it is.

    Products that read the same input become one and weights take the form of `precision`; the
    float32 originals are freed as it goes. Norms, sums, attention and logits stay in float32 on
    a CPU; on a GPU all but the rotation is in `precision`. Afterwards T3 cannot be saved or
    trained. Raises ConfigError where this machine has no kernel for it.
    """
    device = t3.speech_embedding.weight.device
    check_kernels(precision, device)
    assert isinstance(t3.speech_head, nn.Linear), "converted already"
    if isinstance(t3.backbone, LlamaBackbone):
        t3.backbone.fuse()
    if device.type != "cpu":
        t3.to(DTYPES[precision])
    elif precision != "fp32":
        # The largest table of Turbo and Nano; a few rows are read per utterance.
        t3.text_embedding.to(torch.float16)
    pack_layers(t3.backbone, precision)
    # An error in a score is heard at once, and the head is a fiftieth of the weights.
    head: Precision = "fp16" if device.type == "cpu" and precision == "int8" else precision
    t3.speech_head = packed(t3.speech_head, head)
