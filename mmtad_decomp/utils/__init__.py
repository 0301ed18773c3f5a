"""Helpers that know nothing of detection."""

from .atomic import atomic_write, remove_temporary_files, write_json

__all__ = ['atomic_write', 'remove_temporary_files', 'write_json']
