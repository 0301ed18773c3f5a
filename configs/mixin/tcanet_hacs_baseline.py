# MMAction2's TCANet behind a projection. Its annotation files need `proposals` (docs, mix_into_existing_configs.md).
_base_ = ['mmaction::localization/tcanet/tcanet_2xb8-700x100-9e_hacs-feature.py']

custom_imports = dict(imports=['mmtad_decomp'], allow_failed_imports=False)
default_hooks = dict(
    output_health=dict(type='OutputHealthHook', interval=100),
    strict_loading=dict(type='StrictLoadingHook'),
)

motion_root = 'data/HACS/flow_feature/'

model = dict(
    _delete_=True,
    type='LocalizerDetector',
    raw_mode='loss',  # TCANet runs its regressors in no other
    data_preprocessor=dict(type='TADDataPreprocessor', modality=dict(type='FeatureInput')),
    neck=dict(
        type='TemporalProjection',
        in_channels=_base_.model.feat_dim,
        out_channels=_base_.model.feat_dim,
    ),
    head=_base_.model,
)

train_pipeline = [
    *_base_.train_pipeline[:-1],
    dict(type='MatchProposals'),
    _base_.train_pipeline[-1],
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
paired_train_pipeline = [*train_pipeline, dict(type='LoadMotionFeature', folder=motion_root)]

work_dir = 'work_dirs/mixin/tcanet_hacs_baseline'
val_evaluator = dict(
    type='LocalizerProposalMetric', dump_config=dict(out=f'{work_dir}/results.json')
)
test_evaluator = val_evaluator
