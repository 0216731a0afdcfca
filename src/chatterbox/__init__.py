"""Chatterbox: text to speech and voice conversion. Imports nothing, so that the contract loads without torch."""

__version__ = "0.1.0"
