"""Benchmarks: how fast this machine speaks, stage by stage and as a whole."""
