"""Rendered untrimmed videos whose classes need appearance and motion both."""
