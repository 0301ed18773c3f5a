# The method with a teacher on optical flow. The data set loads the flow beside the frames in training
# (`paired_train_pipeline`); testing needs frames only.
_base_ = './decomp_tg.py'

distill = dict(
    teacher=dict(modality=dict(type='OpticalFlowInput'), backbone=dict(in_channels=2)),
)
