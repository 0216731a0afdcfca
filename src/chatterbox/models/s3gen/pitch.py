"""The pitch predictor of the vocoder: mel to fundamental frequency."""

from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import weight_norm

from chatterbox.models.s3gen.config import VocoderConfig


class PitchPredictor(nn.Module):
    """mel (B, bins, F) -> f0 (B, F) in Hz, at or above 0; unvoiced frames lie near 0."""

    def __init__(self, config: VocoderConfig) -> None:
        super().__init__()
        width = config.pitch_channels
        layers: list[nn.Module] = []
        for index in range(config.pitch_layers):
            channels = config.mel_bins if index == 0 else width
            layers += [weight_norm(nn.Conv1d(channels, width, 3, padding=1)), nn.ELU()]
        self.condnet = nn.Sequential(*layers)
        self.classifier = nn.Linear(width, 1)

    def forward(self, mel: Tensor, mask: Tensor | None = None) -> Tensor:
        """`mask` (B, 1, F) is 0 on padding, which then does not reach the frames before it."""
        x = mel
        for layer in self.condnet:
            if mask is not None:
                x = x * mask
            x = layer(x)
        hz: Tensor = self.classifier(x.transpose(1, 2)).squeeze(-1).abs()
        return hz if mask is None else functional.relu(hz * mask[:, 0])
