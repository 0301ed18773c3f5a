"""The paper's fusion: each branch is gated step by step, without mixing neighbouring steps."""

from __future__ import annotations

from mmaction.registry import MODELS
from torch import Tensor, nn

from mmtad_decomp.ops.local_attentive_fusion import local_attentive_fusion

from .branch_fusion import BranchFusion


@MODELS.register_module()
class LocalAttentiveFusion(BranchFusion):
    """Local attentive fusion (Lee et al., CVPR 2023).

    For target branch m and reference branch n, ``q_t = W_q pool_w(f_m)_t``, ``k_t = W_k f_n,t``,
    ``f~_m,t = f_m,t * sigmoid(q_t * k_t)``, plus ``f_m,t`` with the residual. The projection is
    linear, so it is applied before the pooling, which the op does with the gating in one go.

    Args:
        channels: Width D of a branch.
        window: Odd number of steps that the query is pooled over; None pools the whole valid
            sequence (the paper, as we read it).
        residual: Add the branch itself to its gated form (our choice).
    """

    def __init__(
        self,
        channels: int,
        window: int | None = None,
        residual: bool = True,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(channels, init_cfg=init_cfg)
        self.window = window
        self.residual = residual
        self.appearance_query = nn.Conv1d(channels, channels, 1)
        self.appearance_key = nn.Conv1d(channels, channels, 1)
        self.motion_query = nn.Conv1d(channels, channels, 1)
        self.motion_key = nn.Conv1d(channels, channels, 1)

    def enhance(self, appearance: Tensor, motion: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
        """Gate each branch with its own context and the other's step."""
        return (
            local_attentive_fusion(
                appearance,
                self.appearance_query(appearance),
                self.appearance_key(motion),
                masks,
                self.window,
                self.residual,
            ),
            local_attentive_fusion(
                motion,
                self.motion_query(motion),
                self.motion_key(appearance),
                masks,
                self.window,
                self.residual,
            ),
        )
