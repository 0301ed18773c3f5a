"""Weizmann: untrimmed videos composed of trimmed clips."""
