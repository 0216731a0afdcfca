"""The S3 tokenizer: 16 kHz speech to 25 tokens a second."""
