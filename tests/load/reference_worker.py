"""The reference's side of the comparison. Runs in an environment with chatterbox-tts, not ours."""

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from chatterbox.models.t3.llama_configs import GPT2_MEDIUM_CONFIG, LLAMA_CONFIGS
from chatterbox.models.t3.modules.cond_enc import T3Cond
from chatterbox.models.t3.modules.t3_config import T3Config
from chatterbox.tts import ChatterboxTTS
from chatterbox.tts import Conditionals as EnglishConditionals
from chatterbox.tts_turbo import ChatterboxTurboTTS
from chatterbox.tts_turbo import Conditionals as TurboConditionals
from safetensors.torch import load_file
from torch import nn
from worker_protocol import serve

from chatterbox.models.s3gen import S3Gen
from chatterbox.models.t3 import T3
from chatterbox.models.voice_encoder import VoiceEncoder

# Nano is not in the release of the package; its repository has it as Turbo with this backbone.
LLAMA_CONFIGS["GPT2_small"] = {
    **GPT2_MEDIUM_CONFIG,
    "n_embd": 768,
    "hidden_size": 768,
    "n_head": 12,
    "n_layer": 12,
}
GPT2_NAMES = {"turbo": "GPT2_medium", "nano": "GPT2_small"}


class GivenIds:
    """Stands in for either tokenizer: whatever the text, these are its ids."""

    ids: torch.Tensor

    def __call__(self, text: str, **options: Any) -> SimpleNamespace:
        return SimpleNamespace(input_ids=self.ids)

    def text_to_tokens(self, text: str) -> torch.Tensor:
        return self.ids


class NoWatermark:
    """Leaves out what ours does not do, either."""

    def apply_watermark(self, wav: Any, sample_rate: int) -> Any:
        return wav


class Reference:
    """One family of the reference, loaded; all methods answer with plain values."""

    def load(self, *, family: str, folder: str, voice: str, threads: int) -> dict[str, Any]:
        torch.set_num_threads(threads)
        self.is_gpt = family in GPT2_NAMES
        files = {
            path.name.split("_")[0].split(".")[0]: path
            for path in Path(folder).glob("*.safetensors")
        }
        t3 = T3(_gpt2_config(GPT2_NAMES[family])) if self.is_gpt else T3()
        t3.load_state_dict(load_file(files["t3"]))
        if self.is_gpt:
            del t3.tfmr.wte
        s3gen = S3Gen(meanflow=self.is_gpt)
        s3gen.load_state_dict(load_file(files["s3gen"]), strict=False)
        encoder = VoiceEncoder()
        encoder.load_state_dict(load_file(files["ve"]))
        for network in (t3, s3gen, encoder):
            network.eval()
        kind = ChatterboxTurboTTS if self.is_gpt else ChatterboxTTS
        self.tokenizer = GivenIds()
        conditionals = TurboConditionals if self.is_gpt else EnglishConditionals
        self.tts = kind(t3, s3gen, encoder, self.tokenizer, "cpu", conditionals(*_voice(voice)))
        self.watermarker, self.tts.watermarker = self.tts.watermarker, NoWatermark()
        return {"torch": torch.__version__}

    def t3(self, *, text_ids: list[int], tokens: int, seed: int) -> dict[str, Any]:
        """Draw `tokens` tokens; the reading of the prefix and the rest are timed apart."""
        torch.manual_seed(seed)
        ends: list[float] = []
        hook = self.tts.t3.tfmr.register_forward_hook(lambda *_: ends.append(time.perf_counter()))
        began_s = time.perf_counter()
        try:
            drawn = self._draw(text_ids, tokens)
        finally:
            hook.remove()
        ended_s = time.perf_counter()
        assert drawn.shape[-1] == tokens, f"{drawn.shape[-1]} tokens instead of {tokens}"
        # Every pass after the first, with the sampling between them.
        return {
            "prefill_s": ends[0] - began_s,
            "tokens_per_s": (len(ends) - 1) / (ended_s - ends[0]),
        }

    def _draw(self, text_ids: list[int], tokens: int) -> torch.Tensor:
        t3, ids = self.tts.t3, torch.tensor([text_ids])
        if self.is_gpt:
            return t3.inference_turbo(self.tts.conds.t3, ids, max_gen_len=tokens - 1)
        framed = nn.functional.pad(
            nn.functional.pad(ids, (1, 0), value=t3.hp.start_text_token),
            (0, 1),
            value=t3.hp.stop_text_token,
        )
        return t3.inference(
            t3_cond=self.tts.conds.t3,
            text_tokens=torch.cat([framed, framed]),
            max_new_tokens=tokens,
            temperature=0.8,
            cfg_weight=0.5,
            repetition_penalty=1.2,
            min_p=0.05,
            top_p=1.0,
        )

    def s3gen(self, *, tokens: int, seed: int) -> dict[str, Any]:
        """Render random tokens whole; flow and vocoder are timed apart."""
        torch.manual_seed(seed)
        speech = torch.randint(6561, (1, tokens))
        steps = 2 if self.is_gpt else None
        began_s = time.perf_counter()
        mel = self.tts.s3gen.flow_inference(
            speech, ref_dict=self.tts.conds.gen, finalize=True, n_cfm_timesteps=steps
        )
        rendered_s = time.perf_counter()
        wav, _ = self.tts.s3gen.hift_inference(mel)
        ended_s = time.perf_counter()
        return {
            "flow_s": rendered_s - began_s,
            "vocoder_s": ended_s - rendered_s,
            "samples": wav.shape[-1],
        }

    def speak(self, *, text_ids: list[int], tokens: int, seed: int) -> dict[str, Any]:
        """`generate` of so many tokens without its watermark, which is then timed by itself."""
        torch.manual_seed(seed)
        self.tokenizer.ids = torch.tensor([text_ids])
        name, limit = (
            ("inference_turbo", {"max_gen_len": tokens - 1})
            if self.is_gpt
            else ("inference", {"max_new_tokens": tokens})
        )
        draw = getattr(self.tts.t3, name)
        setattr(self.tts.t3, name, lambda **options: draw(**{**options, **limit}))
        try:
            began_s = time.perf_counter()
            wav = self.tts.generate("Read this.")
            ended_s = time.perf_counter()
        finally:
            setattr(self.tts.t3, name, draw)
        self.watermarker.apply_watermark(wav[0].numpy(), sample_rate=self.tts.sr)
        return {
            "wall_s": ended_s - began_s,
            "audio_s": wav.shape[-1] / self.tts.sr,
            "watermark_s": time.perf_counter() - ended_s,
        }


def _gpt2_config(backbone: str) -> T3Config:
    config = T3Config(text_tokens_dict_size=50276)
    config.llama_config_name = backbone
    config.speech_tokens_dict_size = 6563
    config.input_pos_emb = None
    config.speech_cond_prompt_len = 375
    config.use_perceiver_resampler = False
    config.emotion_adv = False
    return config


def _voice(path: str) -> tuple[T3Cond, dict[str, Any]]:
    """The made-up voice as the reference keeps one."""
    tensors = load_file(path)
    heard = T3Cond(
        speaker_emb=tensors["t3.speaker_embedding"],
        cond_prompt_speech_tokens=tensors["t3.prompt_tokens"],
        emotion_adv=0.5 * torch.ones(1, 1, 1),
    )
    prompt = tensors["s3gen.prompt_tokens"]
    return heard, {
        "prompt_token": prompt,
        "prompt_token_len": torch.tensor([prompt.shape[1]]),
        "prompt_feat": tensors["s3gen.prompt_mel"],
        "prompt_feat_len": None,
        "embedding": tensors["s3gen.x_vector"],
    }


if __name__ == "__main__":
    serve(Reference())
