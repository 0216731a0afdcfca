"""The networks of the Chatterbox family and how their checkpoints load."""
