"""Corpus: the sentences the voices learn from, all free to use.

WordNet 3.0 example sentences and Jane Austen's novels come from two Debian packages; everyday
sentences, questions, numbers and dates are made from templates here.
"""

import json
import random
import re
import struct
import subprocess
import zlib
from collections.abc import Iterator
from pathlib import Path

_PACKAGES = ("wordnet-base", "r-cran-janeaustenr")
_ASCII_STRING = re.compile(rb"\x00\x04\x00\x09")  # R's serialised CHARSXP, ASCII
_MIN_CHARS, _MAX_CHARS = 12, 300


def fetch(folder: Path) -> Path:
    """Download and unpack the two Debian packages below `folder` (needs apt and dpkg-deb)."""
    root = folder / "debian"
    if not (root / "done").exists():
        root.mkdir(parents=True, exist_ok=True)
        subprocess.run(["apt-get", "download", *_PACKAGES], cwd=root, check=True)
        for package in root.glob("*.deb"):
            subprocess.run(["dpkg-deb", "-x", str(package), str(root)], check=True)
        (root / "done").touch()
    return root


def wordnet_sentences(root: Path) -> list[str]:
    """The quoted examples of WordNet's glosses, capitalised and closed with a full stop."""
    sentences: dict[str, None] = {}
    for part in ("noun", "verb", "adj", "adv"):
        glosses = (root / "usr/share/wordnet" / f"data.{part}").read_text(errors="ignore")
        for example in re.findall(r'"([^"\n]+)"', glosses):
            text = " ".join(example.split())
            if len(text.split()) >= 3 and text.isascii() and not re.search(r"[_\[\]{}|<>*`]", text):
                text = text[0].upper() + text[1:]
                sentences[text if text[-1] in ".!?" else text.rstrip(",;:-") + "."] = None
    return list(sentences)


def austen_sentences(root: Path) -> list[str]:
    """Sentences of the six novels, 20 to 300 characters, chapter headings left out."""
    database = (root / "usr/lib/R/site-library/janeaustenr/data/Rdata.rdb").read_bytes()
    text = "\n".join(_strings_of(database))
    text = text.replace("--", ", ").replace("_", "")
    sentences: dict[str, None] = {}
    for paragraph in re.split(r"\n\s*\n", text):
        flat = " ".join(paragraph.split())
        for sentence in re.split(r"(?<=[.!?])[\"']?\s+(?=[A-Z\"'])", flat):
            clean = sentence.strip(" \"'")
            if 20 <= len(clean) <= _MAX_CHARS and clean[-1] in ".!?" and clean[0].isupper():
                sentences[clean] = None
    return [s for s in sentences if s.isascii() and "CHAPTER" not in s.upper()]


def _strings_of(database: bytes) -> Iterator[str]:
    position = 0
    while (start := database.find(b"\x78\x9c", position)) >= 0:
        stream = zlib.decompressobj()
        try:
            block = stream.decompress(database[start:])
        except zlib.error:
            position = start + 1
            continue
        position = len(database) - len(stream.unused_data)
        for match in _ASCII_STRING.finditer(block):
            (length,) = struct.unpack(">i", block[match.end() : match.end() + 4])
            yield block[match.end() + 4 : match.end() + 4 + max(0, length)].decode("ascii")


_PEOPLE = """I|you|we|they|my sister|my brother|the doctor|our teacher|the neighbours|Anna|Mr. Brown
|Sarah|David|Mrs. Miller|the children|everybody|nobody|his mother|her friend|the old man|Tom and Lucy
|the manager|your father|the driver|the girl next door|Emily|James|a stranger|the two of us""".replace(
    "\n", ""
).split("|")
_THINGS = """the car keys|a glass of water|the report|some coffee|the window|a new bicycle|the garden|dinner
|the phone|an old photograph|the bus|two tickets|the kitchen table|a warm jacket|the letter|the meeting
|a birthday present|the front door|the blue umbrella|fresh bread|a good book|the computer|the dishes|the music
|a cup of tea|the newspaper|an apple|the train|the map|his shoes|her bag|the answer|breakfast|the washing machine
|a long walk|the rent|a message|the dog|the cat|the light in the hall|orange juice|a chocolate cake""".replace(
    "\n", ""
).split("|")
_ACTS = """bring|find|forget|buy|look for|talk about|pay for|wait for|remember|take|share|leave behind
|ask about|show me|pick up|put away|think about|get rid of|clean|move|check|sell|borrow|return""".replace(
    "\n", ""
).split("|")
_TIMES = """tomorrow morning|tonight|after lunch|before the weekend|next Tuesday|in a few minutes|this afternoon
|at half past seven|on Friday evening|in the summer|every day|right now|as soon as possible|later today
|at the end of the month|in two weeks|on the way home|by noon|around ten o'clock|in September|next year""".replace(
    "\n", ""
).split("|")
_PLACES = """at the station|in the park|near the river|at home|in the office|at the supermarket|on the second floor
|by the lake|behind the house|at school|in the mountains|downtown|in the hospital|at the airport|around the corner
|in the library|across the street|on the beach|in the living room|at the bakery""".replace(
    "\n", ""
).split("|")
_MOODS = """happy|tired|worried|busy|ready|late|surprised|quiet|hungry|proud|sorry|afraid|excited|alone
|right|wrong|sick|angry|careful|bored|very kind|rather cold|much better|a little nervous|quite sure""".replace(
    "\n", ""
).split("|")
_WEATHER = [
    "sunny",
    "cloudy",
    "windy",
    "raining",
    "snowing",
    "too hot",
    "getting dark",
    "very cold",
    "foggy",
    "warm and dry",
]
_FRAMES = (
    "Could you please {a} {t} {w}?", "Did {p} {a} {t} {l}?", "{p} will {a} {t} {w}.",
    "I think {p} should {a} {t} {w}.", "Please don't {a} {t} {l}.", "It is {h} today, so let's {a} {t} {w}.",
    "Why would {p} {a} {t}?", "{p} didn't want to {a} {t} {l}.", "We have to {a} {t} {w}, don't we?",
    "Where can I {a} {t}?", "Thank you, but I already have {t}.", "I was {m} when I saw {t} {l}.",
    "How much is {t} {l}?", "Let me know if you can {a} {t} {w}.", "I'm {m}, but I can still {a} {t}.",
    "If it's {h}, {p} won't {a} {t}.", "Have you seen {t}? I left it {l}.", "There is nothing {l} {w}.",
    "What are we going to do {w}?", "I'd like to {a} {t} and go home.", "{p} told me to {a} {t} {w}.",
    "Don't worry, {p} can {a} {t} for you.", "It was {h} {l}, and everyone was {m}.",
    "When {p} came back, {t} was gone.", "You look {m}. Would you like {t}?", "No, thanks. I'm {m}.",
    "Yes, of course. We can {a} {t} {w}.", "Good morning! Is {t} ready?", "Sorry, I didn't mean to {a} {t}.",
)  # fmt: skip
_MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
_DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]


def everyday_sentence(rng: random.Random) -> str:
    """One made-up conversational sentence."""
    text = rng.choice(_FRAMES).format(
        p=rng.choice(_PEOPLE), t=rng.choice(_THINGS), a=rng.choice(_ACTS), w=rng.choice(_TIMES),
        l=rng.choice(_PLACES), m=rng.choice(_MOODS), h=rng.choice(_WEATHER),
    )  # fmt: skip
    return text[0].upper() + text[1:]


_REPLIES = """Yes|No|Okay|Hello|Hi|Thanks|Thank you|Please|Sorry|Good morning|Good night|Goodbye|Of course|Maybe
|Not yet|Why|Why not|What|Who|When|Where|How much|Really|Right|Wait|Stop|Come here|Let's go|I see|I know|I don't know
|Never mind|Well|Great|Fine|All right|See you|Me too|Not at all|Go on|Be careful|Look|Listen|Oh no|Sure|Exactly
|It works|Come in|Hurry up|Well done|That's it|So what|Good|Bad|Hey|Ready|Next|Done""".replace(
    "\n", ""
).split("|")


def short_utterance(rng: random.Random, sentences: list[str]) -> str:
    """A reply, a word or two out of a sentence, or a few of them in a row."""
    if rng.random() < 0.3:
        text = rng.choice(_REPLIES)
    else:
        words = re.findall(r"[A-Za-z']+", rng.choice(sentences)) or ["Well"]
        start, size = rng.randrange(len(words)), rng.choice([1, 1, 2, 3])
        text = " ".join(words[start : start + size])
    return text[0].upper() + text[1:] + rng.choice(["."] * 4 + ["!", "?"])


def number_sentence(rng: random.Random) -> str:
    """One sentence with a number, date, time, price, spelled word or telephone number."""
    n = rng.choice([rng.randint(0, 20), rng.randint(20, 999), rng.randint(1000, 99999)])
    month, day = rng.choice(_MONTHS), rng.choice(_DAYS)
    letters = " ".join(rng.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ") for _ in range(rng.randint(2, 5)))
    digits = " ".join(str(rng.randint(0, 9)) for _ in range(rng.randint(4, 8)))
    return rng.choice((
        f"It takes {n} minutes to get there.", f"The answer is {n}.", f"Room {n % 900} is on the left.",
        f"On {month} {1 + n % 28}, {1900 + n % 130}, we moved to another city.",
        f"The meeting starts at {1 + n % 12}:{rng.randint(10, 59)} on {day}.",
        f"That will be ${n % 500}.{rng.randint(10, 99)}, please.", f"My number is {digits}.",
        f"You spell it {letters}.", f"About {n % 100} percent of the people said yes.",
        f"{n % 60 + 2} people came to the party on {day}.", f"Chapter {1 + n % 40}.",
        f"He was born in {1800 + n % 220}.", f"Turn left after {n % 90 + 2} miles.",
        f"The {1 + n % 31}{_ordinal(1 + n % 31)} of {month} is a {day}.",
        f"Page {n % 900 + 1}, line {rng.randint(1, 40)}.", f"One, two, {rng.choice(['three', 'seven'])}, {n}.",
    ))  # fmt: skip


def _ordinal(n: int) -> str:
    return "th" if 10 <= n <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")


def _joined(sentences: Iterator[str], rng: random.Random) -> str:
    """One to several short sentences in a row, up to a length drawn at random."""
    target = rng.choice([30, 50, 80, 110, 150]) if rng.random() < 0.9 else rng.randint(150, 280)
    text = next(sentences)
    while len(text) < target:
        following = next(sentences)
        if len(text) + 1 + len(following) > _MAX_CHARS:
            break
        text += " " + following
    return text


def build(
    root: Path, *, count: int, barred: frozenset[str] = frozenset(), seed: int = 1
) -> list[str]:
    """`count` distinct sentences: 62 % WordNet, 15 % Austen, 15 % everyday, 8 % numbers.

    An eighth as many short ones, a word or a few, come on top.

    `barred` sentences (lower case) are kept out: they are for the evaluation.
    """
    rng = random.Random(seed)
    wordnet, austen = wordnet_sentences(root), austen_sentences(root)
    rng.shuffle(wordnet)
    rng.shuffle(austen)
    endless = _cycle(wordnet)
    everyday = iter(lambda: everyday_sentence(rng), None)
    novels = _cycle(austen)
    texts: dict[str, None] = {}
    while len(texts) < count:
        draw = rng.random()
        if draw < 0.62:
            text = _joined(endless, rng)
        elif draw < 0.77:
            text = next(novels)
        elif draw < 0.92:
            text = _joined(everyday, rng) if rng.random() < 0.4 else everyday_sentence(rng)
        else:
            text = number_sentence(rng)
        if _MIN_CHARS <= len(text) <= _MAX_CHARS and text.lower() not in barred:
            texts[text] = None
    whole = len(texts)
    while len(texts) < whole + count // 8:
        text = short_utterance(rng, wordnet)
        if len(text) <= 40:
            texts[text] = None
    return list(texts)


def _cycle(items: list[str]) -> Iterator[str]:
    while True:
        yield from items


def write(root: Path, target: Path, *, count: int, barred: frozenset[str]) -> None:
    """Write the utterances as JSON lines {"id", "text"}; does nothing if `target` exists."""
    if target.exists():
        return
    texts = build(root, count=count, barred=barred)
    lines = [json.dumps({"id": i, "text": t}) for i, t in enumerate(texts)]
    target.write_text("\n".join(lines) + "\n")
