# Conventional distillation for AFSD: the only branch mimics the teacher's coarse and refined predictions.
_base_ = './conventional_tg.py'

distill = dict(
    mimics=dict(prediction=dict(loss=dict(_delete_=True, type='AFSDPredictionMimicLoss')))
)
