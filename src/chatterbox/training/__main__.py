"""`python -m chatterbox.training <stage|all> --workdir DIR [--steps N]`.

Every stage goes on where it stopped. `all` takes about five core-hours; `vocoder` and `pitch`
depend on nothing after `features`, so they may run beside the others in a second process.
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from chatterbox.evaluation.evaluate import sentences as evaluation_sentences
from chatterbox.text.phonemes import phonemes_of
from chatterbox.training import (
    corpus,
    data,
    speakers,
    train_finish,
    train_flow,
    train_hearing,
    train_t3,
    train_tokenizer,
)
from chatterbox.training import train_vocoder as vocoder
from chatterbox.training.export import export
from chatterbox.training.links import MORPH, averaged_flow, report
from chatterbox.training.loop import Run
from chatterbox.training.teacher import Recordings, Teacher, morph

VOICES = ("ada", "ben")
SENTENCES = 5800  # 10 h of the female voice
MORPHED = 1000  # 1.75 h of the male

RUNS = {
    "tokenizer": Run(steps=6000, learning_rate=1.5e-3),
    "vocoder": Run(steps=12000, learning_rate=1e-3, betas=(0.8, 0.98), clip=5.0),
    "finish": Run(
        steps=4000, learning_rate=3e-4, warm_up=60, betas=(0.8, 0.98), clip=5.0, average=0.998
    ),
    "pitch": Run(steps=2500, learning_rate=1e-3),
    "flow": Run(steps=8000, learning_rate=1e-3),
    "t3": Run(steps=9000, learning_rate=1.2e-3, betas=(0.9, 0.95), warm_up=200, average=0.998),
    "hearing": Run(steps=28000, learning_rate=6e-4, weight_decay=0.05),
}


def make_corpus(workdir: Path) -> None:
    """Fetch the texts and write `corpus.jsonl`."""
    barred = frozenset(sentence.lower() for sentence in evaluation_sentences())
    corpus.write(corpus.fetch(workdir), workdir / "corpus.jsonl", count=SENTENCES, barred=barred)


def render(workdir: Path) -> None:
    """Let the teacher speak the corpus, then morph part of it into the male voice."""
    rows = [json.loads(line) for line in (workdir / "corpus.jsonl").read_text().splitlines()]
    female, male = (Recordings(workdir / voice) for voice in VOICES)
    teacher = Teacher()
    for row in rows[len(female.entries) :]:
        rendering = teacher.render(phonemes_of(row["text"]), seed=row["id"])
        female.append(row["id"], row["text"], rendering)
    for i in range(len(male.entries), MORPHED):
        entry = female.entries[i]
        male.append(entry["id"], entry["text"], morph(female.load(i), **MORPH))


def features(workdir: Path) -> None:
    """Mels, labels and pitch of all recordings."""
    for voice in VOICES:
        data.extract(workdir / voice, limit=10**6)


def tokens(workdir: Path) -> None:
    """Speaker embeddings, and the frozen tokenizer's tokens of all recordings."""
    speakers.embed_voices(workdir, VOICES, count=60, skip=train_tokenizer.HELD_OUT)
    for voice in VOICES:
        train_flow.write_tokens(workdir, voice)


def links(workdir: Path) -> None:
    """Judge every link by a recogniser; the figures go to `links.txt`."""
    (workdir / "links.txt").write_text("\n".join(report(workdir)) + "\n")


def finish(workdir: Path, run: Run) -> None:
    """The vocoder's adversarial end, on the mels of the trained flow. Not part of `all`.

    1200 steps of it left the estimated quality as it was; it may want many more.
    """
    train_finish.train_finish(workdir, run, averaged_flow(workdir))


PREPARATIONS: dict[str, Callable[[Path], None]] = {
    "corpus": make_corpus,
    "render": render,
    "features": features,
    "tokens": tokens,
    "links": links,
    "export": export,
}
TRAININGS: dict[str, Callable[[Path, Run], None]] = {
    "tokenizer": train_tokenizer.train_tokenizer,
    "vocoder": vocoder.train_vocoder,
    "finish": finish,
    "pitch": vocoder.train_pitch,
    "flow": train_flow.train_flow,
    "t3": train_t3.train_t3,
    "hearing": train_hearing.train_hearing,
}
ORDER = (
    "corpus", "render", "features", "tokenizer", "tokens", "pitch", "flow", "t3", "vocoder", "links", "export",
    "hearing",
)  # fmt: skip


def main() -> None:
    """Run one stage, or all of them in order."""
    parser = argparse.ArgumentParser(prog="python -m chatterbox.training", description=__doc__)
    parser.add_argument("stage", choices=[*ORDER, "finish", "all"])
    parser.add_argument("--workdir", type=Path, required=True)
    parser.add_argument("--steps", type=int, help="train to this step instead of the usual")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    arguments.workdir.mkdir(parents=True, exist_ok=True)
    for stage in ORDER if arguments.stage == "all" else (arguments.stage,):
        if stage in PREPARATIONS:
            PREPARATIONS[stage](arguments.workdir)
        else:
            run = RUNS[stage]
            run = replace(run, steps=arguments.steps) if arguments.steps else run
            TRAININGS[stage](arguments.workdir, run)


if __name__ == "__main__":
    main()
