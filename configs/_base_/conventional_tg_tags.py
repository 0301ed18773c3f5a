# Conventional distillation for TAGS: the only branch mimics the teacher's classes and masks.
_base_ = './conventional_tg.py'

distill = dict(
    mimics=dict(prediction=dict(loss=dict(_delete_=True, type='MaskPredictionMimicLoss')))
)
