"""Annotation files: reading and cleaning."""

from .content import AnnotationError, label_of
from .reading import load_annotations
from .video_list import read_video_list

__all__ = ['AnnotationError', 'label_of', 'load_annotations', 'read_video_list']
