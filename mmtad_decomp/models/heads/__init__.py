"""Detection heads, one folder each, and the parts that several of them share."""

from .actionformer import ActionFormerHead, ConvTransformerEncoder, TemporalPyramid
from .afsd import AFSDHead
from .averaged_point_head import AveragedPointHead
from .candidate_head import CandidateHead
from .gtad import GTADHead, NodeBranch, ScoreMapBranch
from .point_branches import ClassificationBranch, PointBranch, RegressionBranch
from .point_head import PointHead
from .tadtr import TadTRHead
from .tags import GlobalMaskBranch, TAGSHead
from .temporal_head import ExportedLengths, TemporalHead
from .tridet import TriDetHead

__all__ = [
    'AFSDHead',
    'ActionFormerHead',
    'AveragedPointHead',
    'CandidateHead',
    'ClassificationBranch',
    'ConvTransformerEncoder',
    'ExportedLengths',
    'GTADHead',
    'GlobalMaskBranch',
    'NodeBranch',
    'PointBranch',
    'PointHead',
    'RegressionBranch',
    'ScoreMapBranch',
    'TAGSHead',
    'TadTRHead',
    'TemporalHead',
    'TemporalPyramid',
    'TriDetHead',
]
