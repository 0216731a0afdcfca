"""CAM++: speech to an x-vector, which says who is speaking (arXiv:2303.00332)."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from chatterbox.models.s3gen.config import SpeakerEncoderConfig


class _ResBlock2d(nn.Module):
    """Two 3x3 convolutions over (bins, time); the first may halve the bins."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, (stride, 1), 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.shortcut = nn.Sequential()
        if stride != 1:
            self.shortcut.append(nn.Conv2d(channels, channels, 1, (stride, 1), bias=False))
            self.shortcut.append(nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        inner = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(inner)) + self.shortcut(x))


class _Head(nn.Module):
    """(B, bins, T) -> (B, channels * bins / 8, T): shifts in frequency cost nothing."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, channels, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.layer1 = nn.Sequential(_ResBlock2d(channels, 2), _ResBlock2d(channels, 1))
        self.layer2 = nn.Sequential(_ResBlock2d(channels, 2), _ResBlock2d(channels, 1))
        self.conv2 = nn.Conv2d(channels, channels, 3, (2, 1), 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.bn1(self.conv1(x[:, None])))
        x = torch.relu(self.bn2(self.conv2(self.layer2(self.layer1(x)))))
        return x.flatten(1, 2)


class _NormRelu(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.batchnorm = nn.BatchNorm1d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.batchnorm(x))


class _Norm(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.batchnorm = nn.BatchNorm1d(channels, affine=False)

    def forward(self, x: Tensor) -> Tensor:
        normed: Tensor = self.batchnorm(x)
        return normed


class _ContextMask(nn.Module):
    """A convolution whose channels are weighed by the context of the clip and of the second."""

    def __init__(self, channels: int, config: SpeakerEncoderConfig, dilation: int) -> None:
        super().__init__()
        self.segment = config.segment_frames
        self.linear_local = nn.Conv1d(
            channels, config.growth, 3, padding=dilation, dilation=dilation, bias=False
        )
        self.linear1 = nn.Conv1d(channels, channels // 2, 1)
        self.linear2 = nn.Conv1d(channels // 2, config.growth, 1)

    def forward(self, x: Tensor) -> Tensor:
        pooled = functional.avg_pool1d(x, self.segment, self.segment, ceil_mode=True)
        by_segment = pooled.repeat_interleave(self.segment, dim=-1)[..., : x.shape[-1]]
        context = torch.relu(self.linear1(x.mean(-1, keepdim=True) + by_segment))
        weighed: Tensor = self.linear_local(x) * torch.sigmoid(self.linear2(context))
        return weighed


class _DenseLayer(nn.Module):
    def __init__(self, channels: int, config: SpeakerEncoderConfig, dilation: int) -> None:
        super().__init__()
        inner = config.bottleneck * config.growth
        self.nonlinear1 = _NormRelu(channels)
        self.linear1 = nn.Conv1d(channels, inner, 1, bias=False)
        self.nonlinear2 = _NormRelu(inner)
        self.cam_layer = _ContextMask(inner, config, dilation)

    def forward(self, x: Tensor) -> Tensor:
        new = self.cam_layer(self.nonlinear2(self.linear1(self.nonlinear1(x))))
        return torch.cat([x, new], dim=1)


class _Transition(nn.Module):
    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.nonlinear = _NormRelu(channels)
        self.linear = nn.Conv1d(channels, out_channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.linear(self.nonlinear(x))
        return out


class _Entry(nn.Module):
    """Halves the frame rate."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.linear = nn.Conv1d(channels, out_channels, 5, stride=2, padding=2, bias=False)
        self.nonlinear = _NormRelu(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.nonlinear(self.linear(x))
        return out


class _Statistics(nn.Module):
    """Mean and deviation over time, projected: (B, C, T) -> (B, embedding)."""

    def __init__(self, channels: int, embedding: int) -> None:
        super().__init__()
        self.linear = nn.Conv1d(2 * channels, embedding, 1, bias=False)
        self.nonlinear = _Norm(embedding)

    def forward(self, x: Tensor) -> Tensor:
        statistics = torch.cat([x.mean(-1), x.std(-1)], dim=-1)
        out: Tensor = self.nonlinear(self.linear(statistics[..., None]).squeeze(-1))
        return out


class SpeakerEncoder(nn.Module):
    """Features of `audio.mel.x_vector_features` (B, T, bins) -> (B, embedding), any norm.

    T is at least 5, for the deviation of one frame is undefined after the halving.
    """

    def __init__(self, config: SpeakerEncoderConfig, embedding: int) -> None:
        super().__init__()
        self.head = _Head(config.head_channels)
        channels = config.initial_channels
        entry = _Entry(config.head_channels * config.feature_bins // 8, channels)
        self.xvector = nn.Sequential()
        self.xvector.add_module("tdnn", entry)
        blocks = zip(config.block_layers, config.block_dilations, strict=True)
        for number, (layers, dilation) in enumerate(blocks, start=1):
            block = nn.Sequential()
            for layer in range(layers):
                dense = _DenseLayer(channels + layer * config.growth, config, dilation)
                block.add_module(f"tdnnd{layer + 1}", dense)
            channels += layers * config.growth
            self.xvector.add_module(f"block{number}", block)
            self.xvector.add_module(f"transit{number}", _Transition(channels, channels // 2))
            channels //= 2
        self.xvector.add_module("out_nonlinear", _NormRelu(channels))
        self.xvector.add_module("dense", _Statistics(channels, embedding))

    def forward(self, features: Tensor) -> Tensor:
        embedding: Tensor = self.xvector(self.head(features.transpose(1, 2)))
        return embedding
