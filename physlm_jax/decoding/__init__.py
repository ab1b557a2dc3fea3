"""Decoding: from a model's distributions to strings."""
