"""Sound as values: clips, files, features, joins."""
