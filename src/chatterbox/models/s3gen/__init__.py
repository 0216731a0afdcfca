"""S3Gen: speech tokens to 24 kHz audio."""
