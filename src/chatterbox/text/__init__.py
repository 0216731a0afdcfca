"""Text before the models: normalising, cutting, tokenising."""
