"""T3: text tokens to speech tokens."""
