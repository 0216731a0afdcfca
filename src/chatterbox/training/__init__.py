"""Training of the bundled `tiny` family, from text to landed weights.

`python -m chatterbox.training all --workdir DIR` runs every stage in order and resumes where it
stopped; `python -m chatterbox.training <stage> --workdir DIR` runs one. The stages are corpus
(sentences), render (teacher audio with durations and pitch), features, tokenizer, tokens, vocoder,
flow, t3 and export. Everything but the exported weights lives in the work directory.
"""
