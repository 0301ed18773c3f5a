"""Loops of validation and testing."""

from .autocast_loops import AutocastTestLoop, AutocastValLoop

__all__ = ['AutocastTestLoop', 'AutocastValLoop']
