_base_ = [
    '../_base_/models/tadtr_tsm18_small.py',
    '../_base_/datasets/grid_videos.py',
    '../_base_/schedules/scratch_4e.py',
    '../_base_/default_runtime.py',
]

model = dict(
    data_preprocessor=dict(pad_to=_base_.window),
    head=dict(num_classes=_base_.num_classes),
)

# A tenth of the learning rate for what places samples and references, as TadTR has it.
optim_wrapper = dict(
    paramwise_cfg=dict(
        custom_keys={
            'sampling_offsets': dict(lr_mult=0.1),
            'decoder.reference': dict(lr_mult=0.1),
        }
    ),
)
