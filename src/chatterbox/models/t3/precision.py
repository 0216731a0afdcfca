"""Precision: a loaded T3 made ready to speak, in the precision the user chose."""

from torch import Tensor, nn
from torch.nn import functional

from chatterbox.models.layers.linear import (
    Precision,
    check_precision,
    pack_linears,
    packed_linear,
    weights_dtype,
)
from chatterbox.models.t3.llama import LlamaBackbone
from chatterbox.models.t3.model import T3
