"""Meshes, and the one table that says which mesh axis each logical array axis is cut over."""
