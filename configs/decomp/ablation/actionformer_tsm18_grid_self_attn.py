_base_ = '../actionformer_tsm18_grid.py'

model = dict(student=dict(fusion=dict(_delete_=True, type='SelfAttentionFusion')))
