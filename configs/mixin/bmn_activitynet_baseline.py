# MMAction2's BMN behind a projection, on the RGB half of its two-stream features.
_base_ = ['mmaction::localization/bmn/bmn_2xb8-400x100-9e_activitynet-feature.py']

custom_imports = dict(imports=['mmtad_decomp'], allow_failed_imports=False)
default_hooks = dict(
    output_health=dict(type='OutputHealthHook', interval=100),
    strict_loading=dict(type='StrictLoadingHook'),
)

model = dict(
    _delete_=True,
    type='LocalizerDetector',
    data_preprocessor=dict(
        type='TADDataPreprocessor', modality=dict(type='FeatureInput', channels=(0, 200))
    ),
    neck=dict(type='TemporalProjection', in_channels=200, out_channels=_base_.model.feat_dim),
    head=_base_.model,
)

work_dir = 'work_dirs/mixin/bmn_activitynet_baseline'
val_evaluator = dict(
    type='LocalizerProposalMetric', dump_config=dict(out=f'{work_dir}/results.json')
)
test_evaluator = val_evaluator
