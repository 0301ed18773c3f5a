_base_ = '../actionformer_tsm18_fir.py'

model = dict(student=dict(fusion=dict(_delete_=True, type='DiffAttentionFusion')))
