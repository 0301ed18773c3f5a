"""How the appearance and the motion branch become one joint feature."""

from .attention_fusions import CrossAttentionFusion, DiffAttentionFusion, SelfAttentionFusion
from .branch_fusion import BranchFusion
from .local_attentive_fusion import LocalAttentiveFusion
from .plain_fusions import ConcatFusion, SumFusion

__all__ = [
    'BranchFusion',
    'ConcatFusion',
    'CrossAttentionFusion',
    'DiffAttentionFusion',
    'LocalAttentiveFusion',
    'SelfAttentionFusion',
    'SumFusion',
]
