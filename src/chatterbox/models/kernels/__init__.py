"""Kernels of our own, where torch has none that is as fast as the machine: C, compiled when it is needed.

Each has a slow twin in torch, which is used where there is no compiler, and a test that they agree.
"""
