# MMAction2's TEM (of BSN) behind a projection, on the RGB half of its two-stream features.
_base_ = ['mmaction::localization/bsn/bsn_tem_1xb16-400x100-20e_activitynet-feature.py']

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
    neck=dict(type='TemporalProjection', in_channels=200, out_channels=_base_.model.tem_feat_dim),
    head=_base_.model,
)

work_dir = 'work_dirs/mixin/tem_activitynet_baseline'
val_evaluator = [
    dict(
        type='ANetMetric',
        metric_type='TEM',
        dump_config=dict(out=f'{work_dir}/tem_results', output_format='csv'),
    ),
    dict(type='BoundaryProposalMetric', ann_file=_base_.ann_file_val),
]
test_evaluator = [
    val_evaluator[0],
    dict(type='BoundaryProposalMetric', ann_file=_base_.ann_file_test),
]
