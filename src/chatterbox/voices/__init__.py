"""Voices: where conditioning comes from and is kept."""
