"""Encoders from windows of frames to feature sequences."""

from .fused_slowfast import FusedSlowFast
from .inception_i3d import InceptionI3D
from .narrow_resnet_tsm import NarrowResNetTSM
from .video_encoder import VideoEncoder

__all__ = ['FusedSlowFast', 'InceptionI3D', 'NarrowResNetTSM', 'VideoEncoder']
