# Conventional distillation for AFSD, with a teacher on optical flow.
_base_ = './conventional_of.py'

distill = dict(
    mimics=dict(prediction=dict(loss=dict(_delete_=True, type='AFSDPredictionMimicLoss')))
)
