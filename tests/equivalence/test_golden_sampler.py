"""Scores become the probabilities of the reference, in both orders of processing."""

from typing import Any

import torch

from chatterbox.engine.sampler import SamplingTable, guide, process
from chatterbox.speech import Sampling


def cases(golden: Any, prefix: str) -> list[str]:
    names = golden.family("sampler")
    return sorted({name.split(".")[0] for name in names if name.startswith(prefix)} - {prefix})


def test_llama_scores_become_the_reference_s_probabilities(golden: Any) -> None:
    tensors = golden.family("sampler")
    found = cases(golden, "llama")
    for case in found:
        cfg_weight, temperature, min_p, top_p, penalty = tensors[f"{case}.params"].tolist()
        told, untold = tensors[f"{case}.cond_logits"], tensors[f"{case}.uncond_logits"]
        table = SamplingTable.of(
            [
                Sampling(
                    cfg_weight=cfg_weight,
                    temperature=temperature,
                    min_p=min_p,
                    top_p=top_p,
                    top_k=0,
                    repetition_penalty=penalty,
                )
            ],
            vocabulary=told.shape[-1],
            penalty_last=False,
        )
        seen = torch.zeros(told.shape, dtype=torch.bool)
        seen[0, tensors["llama.history"][0]] = True

        probabilities = process(guide(told, untold, table), seen, table)

        golden.check("sampler", f"{case}.probs", probabilities)
        golden.check("sampler", f"{case}.n_kept", (probabilities > 0).sum())
    assert len(found) == 4


def test_turbo_scores_become_the_reference_s_probabilities(golden: Any) -> None:
    tensors = golden.family("sampler")
    found = cases(golden, "turbo")
    for case in found:
        temperature, top_k, top_p, penalty = tensors[f"{case}.params"].tolist()
        logits = tensors[f"{case}.logits"]
        table = SamplingTable.of(
            [
                Sampling(
                    cfg_weight=0.0,
                    temperature=temperature,
                    min_p=0.0,
                    top_p=top_p,
                    top_k=int(top_k),
                    repetition_penalty=penalty,
                )
            ],
            vocabulary=logits.shape[-1],
            penalty_last=True,
        )
        seen = torch.zeros(logits.shape, dtype=torch.bool)
        seen[0, tensors["turbo.history"][0]] = True

        probabilities = process(logits, seen, table)

        golden.check("sampler", f"{case}.probs", probabilities)
        golden.check("sampler", f"{case}.n_kept", (probabilities > 0).sum())
    assert len(found) == 4
