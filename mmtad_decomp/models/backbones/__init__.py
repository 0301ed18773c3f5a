"""Encoders from windows of frames to feature sequences."""

from .video_encoder import VideoEncoder

__all__ = ['VideoEncoder']
