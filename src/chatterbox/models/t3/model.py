"""T3: text tokens and a voice in, scores of the next speech token out."""

import torch
from torch import Tensor, nn

from chatterbox.models.conditioning import T3Conditioning
from chatterbox.models.layers.linear import InputMajorLinear
from chatterbox.models.layers.transformer import Memory, Transformer, Watcher
from chatterbox.models.t3.conditioner import Conditioner
from chatterbox.models.t3.config import T3Config
from chatterbox.models.t3.gpt2 import Gpt2Backbone
from chatterbox.models.t3.llama import LlamaBackbone

INITIAL_STD = 0.02


class T3(nn.Module):
    """A causal language model over conditioning, text and speech tokens, in that order.

    Rows are independent. Text and speech keep their own learned positions where the family has
    them; the backbone counts places over the whole sequence.
    """

    def __init__(self, config: T3Config) -> None:
        super().__init__()
        self.config = config
        self.conditioner = Conditioner(config)
        self.text_embedding = nn.Embedding(config.text_vocabulary, config.dim)
        self.speech_embedding = nn.Embedding(config.speech_vocabulary, config.dim)
        self.text_position = _position_table(config.text_positions, config.dim)
        self.speech_position = _position_table(config.speech_positions, config.dim)
        self.backbone: Transformer = (
            LlamaBackbone(config) if config.backbone == "llama" else Gpt2Backbone(config)
        )
        self.speech_head: nn.Module = nn.Linear(
            config.dim, config.speech_vocabulary, bias=config.head_bias
        )
        self._initialise()

    def _initialise(self) -> None:
        """Small normal weights; what writes to the residual stream is smaller the deeper it is."""
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding | InputMajorLinear):
                nn.init.normal_(module.weight, std=INITIAL_STD)
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)
        residual_std = INITIAL_STD / (2 * self.config.layers) ** 0.5
        for name, parameter in self.backbone.named_parameters():
            if name.endswith(("attention.output.weight", "mlp.down.weight")):
                nn.init.normal_(parameter, std=residual_std)

    def embed_text(self, tokens: Tensor) -> Tensor:
        """Text ids (rows, n), framed by start and stop where there are any -> (rows, n, dim)."""
        embeds: Tensor = self.text_embedding(tokens).to(self.speech_embedding.weight.dtype)
        return embeds + self._text_places(tokens.shape[1], embeds)

    def embed_speech(self, tokens: Tensor, steps: Tensor) -> Tensor:
        """(rows,) tokens at their places in the speech, the start token's is 0 -> (rows, 1, dim)."""
        return self.embed_speech_run(tokens[:, None], steps[:, None])

    def embed_speech_run(self, tokens: Tensor, steps: Tensor) -> Tensor:
        """(rows, n) tokens and their places in the speech -> (rows, n, dim)."""
        embeds: Tensor = self.speech_embedding(tokens)
        if self.speech_position is None:
            return embeds
        return embeds + self.speech_position(steps)  # type: ignore[no-any-return]

    def embed_voice(self, speaker: Tensor, prompt_tokens: Tensor, exaggeration: Tensor) -> Tensor:
        """(rows, 256), (rows, n) and (rows,) -> (rows, time, dim): many voices at once."""
        places = torch.arange(prompt_tokens.shape[1], device=prompt_tokens.device)
        prompt = self.embed_speech_run(prompt_tokens, places.expand_as(prompt_tokens))
        return self.conditioner(speaker, prompt, exaggeration)  # type: ignore[no-any-return]

    def embed_conditioning(self, conditioning: T3Conditioning) -> Tensor:
        """One voice -> (1, time, dim)."""
        speaker = conditioning.speaker_embedding.to(self.speech_embedding.weight.dtype)
        exaggeration = speaker.new_full((1,), conditioning.exaggeration)
        return self.embed_voice(speaker, conditioning.prompt_tokens, exaggeration)

    def frame_text(self, tokens: Tensor) -> Tensor:
        """Put start and stop around raw ids (rows, n), for the families that have them."""
        start, stop = self.config.start_text, self.config.stop_text
        if start is None or stop is None:
            return tokens
        rows = tokens.shape[0]
        return torch.cat(
            [tokens.new_full((rows, 1), start), tokens, tokens.new_full((rows, 1), stop)], dim=1
        )

    def prefix(self, text_tokens: Tensor, conditioning: T3Conditioning, *, guided: bool) -> Tensor:
        """Raw ids (1, n) -> all that comes before the first speech token: (1 or 2, time, dim).

        A guided prefix has a second row that knows the voice and the length of the text but
        not what it says.
        """
        voice = self.embed_conditioning(conditioning)
        script = self.embed_script(text_tokens, guided=guided)
        return torch.cat([voice.expand(script.shape[0], -1, -1), script], dim=1)

    def embed_script(self, text_tokens: Tensor, *, guided: bool) -> Tensor:
        """What follows the voice: text and start tokens, see `prefix`."""
        assert self.config.guidance or not guided, "this family was not trained for guidance"
        framed = self.frame_text(text_tokens)
        text = self.embed_text(framed)
        starts = text_tokens.new_full((1, self.config.start_repeats), self.config.start_speech)
        speech = self.embed_speech_run(starts, torch.zeros_like(starts))
        script = torch.cat([text, speech], dim=1)
        if not guided:
            return script
        silent = self._text_places(framed.shape[1], text).expand_as(text)
        return torch.cat([script, torch.cat([silent, speech], dim=1)])

    def hidden(self, embeds: Tensor, *, watch: Watcher | None = None) -> Tensor:
        """One causal pass without a cache: (rows, time, dim) -> (rows, time, dim), normalised.

        Rows shorter than the longest are padded at the end; what they see is not changed by
        it. `watch` is called with each layer's index and the input of its attention, from which
        `backbone.blocks[layer].attention.weights` tells where a head looks.
        """
        places = torch.arange(embeds.shape[1], device=embeds.device)
        return self.backbone(  # type: ignore[no-any-return]
            embeds, places.expand(embeds.shape[:2]), watch=watch
        )

    def forward(self, embeds: Tensor, positions: Tensor, memory: Memory) -> Tensor:
        """(rows, time, dim) at `positions` (rows, time) -> logits (rows, vocabulary) of the last.

        What came before is in `memory`, see `cache`.
        """
        return self.scores(*self.backbone.place(embeds, positions), memory)

    def scores(self, x: Tensor, places: Tensor, memory: Memory) -> Tensor:
        """As `forward`, of what the backbone's `place` returns."""
        hidden = self.backbone.run(x, places, memory)
        return self.speech_head(hidden[:, -1])  # type: ignore[no-any-return]

    def _text_places(self, length: int, like: Tensor) -> Tensor:
        """What the text's learned positions add: (1, length, dim), zeros where there are none."""
        if self.text_position is None:
            return like.new_zeros(1, length, self.config.dim)
        return self.text_position.weight[None, :length]


def _position_table(rows: int | None, dim: int) -> nn.Embedding | None:
    return None if rows is None else nn.Embedding(rows, dim)
