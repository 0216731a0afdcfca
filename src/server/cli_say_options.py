"""What `chatterbox say` can be told, an option each."""

from typing import Annotated

import typer

from server.cli_output import FORMATS

Text = Annotated[str, typer.Argument(help="What to say; - reads it from standard input.")]
Output = Annotated[str, typer.Option("--output", "-o", help="File to write; - streams to a pipe.")]

Voice = Annotated[str | None, typer.Option(help="Voice, such as ada.")]
Model = Annotated[str | None, typer.Option(help="Model, such as tiny.")]
Language = Annotated[str | None, typer.Option(help="Language of the text, such as en.")]

Format = Annotated[
    str | None,
    typer.Option(
        "--format", help=f"{', '.join(FORMATS)}; by default as the file's name says, or wav."
    ),
]
Rate = Annotated[int | None, typer.Option("--rate", help="Samples per second, 8000 to 48000.")]
SpeakingRate = Annotated[float | None, typer.Option(help="0.5 to 2; how fast, at the same pitch.")]
Gain = Annotated[float | None, typer.Option("--gain", help="-96 to 16 dB; how much louder.")]
Pronounce = Annotated[
    list[str] | None,
    typer.Option(metavar="WORD=SPOKEN", help="Say a word as another is written; may be repeated."),
]
Subtitles = Annotated[
    str | None, typer.Option(help="File for the words and their times, .srt or .vtt.")
]

Seed = Annotated[int | None, typer.Option(help="The same seed gives the same audio.")]
Temperature = Annotated[float | None, typer.Option(help="0 to 5; higher is livelier.")]
Exaggeration = Annotated[float | None, typer.Option(help="0 to 2; 0.5 is neutral.")]
CfgWeight = Annotated[float | None, typer.Option(help="0 to 1; weight of guidance.")]
TopP = Annotated[float | None, typer.Option(help="Above 0, at most 1.")]
TopK = Annotated[int | None, typer.Option(help="0 is off.")]
MinP = Annotated[float | None, typer.Option(help="0 to 1.")]
RepetitionPenalty = Annotated[float | None, typer.Option(help="1 to 5; 1 is off.")]
