"""VoiceEncoder: speech to a speaker embedding."""
