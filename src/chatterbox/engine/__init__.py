"""The engine: many sequences on one device."""
