# TadTR on TSM18. The head's settings are its defaults, those of TadTR and E2E-TAD for THUMOS'14:
# 4 + 4 layers, 40 queries, width 256. TadTR has no neck; this one is doubled by the dual-branch neck.
_base_ = './actionformer_tsm18.py'

# A tenth of the learning rate for what places samples and references.
slow_weights = {
    'sampling_offsets': dict(lr_mult=0.1),
    'decoder.reference': dict(lr_mult=0.1),
}

model = dict(
    neck=dict(out_channels=256),
    head=dict(_delete_=True, type='TadTRHead', in_channels=256),
)
