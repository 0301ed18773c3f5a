"""What users call: a model by name, a video in, its actions out."""

from .exports import FORMATS, ExportError, export, export_each, write_results
from .model_source import ModelError, ModelSource, load_model_source, project_folder
from .parts import PartsError, join_parts
from .results import VideoResult
from .tad_inferencer import TADInferencer
from .video_inputs import InputError, VideoInput, find_videos

__all__ = [
    'FORMATS',
    'ExportError',
    'InputError',
    'ModelError',
    'ModelSource',
    'PartsError',
    'TADInferencer',
    'VideoInput',
    'VideoResult',
    'export',
    'export_each',
    'find_videos',
    'join_parts',
    'load_model_source',
    'project_folder',
    'write_results',
]
