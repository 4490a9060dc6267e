"""The process that generates, and what others need to ask it.

This file imports nothing, so that asking needs no torch.
"""
