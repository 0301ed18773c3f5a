"""A diagnosis as JSON and as text."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from mmtad_decomp.utils import format_table

from .diagnose import Diagnosis
from .false_positives import CATEGORIES, FalsePositiveProfile

TITLES = {
    'true_positive': 'true positive',
    'double_detection': 'double detection',
    'wrong_label': 'wrong label',
    'localization': 'localisation',
    'confusion': 'confusion',
    'background': 'background',
    'coverage': 'coverage',
    'length': 'length (s)',
    'instances': 'instances per video',
}
"""Names for people."""


def plain(value: object) -> object:
    """Arrays as lists; NaN and infinity, which JSON lacks, as None and ``"inf"``."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else ('inf' if value > 0 else '-inf')
    return value


def _precision(found: Diagnosis | FalsePositiveProfile) -> dict:
    """mAP per threshold and its mean, plain and normalised."""
    return dict(
        mAP=found.map,
        mAP_N=found.map_n,
        average_mAP=found.map.mean(),
        average_mAP_N=found.map_n.mean(),
    )


def _false_positives(diagnosis: Diagnosis) -> dict:
    profile = diagnosis.false_positives
    return dict(
        categories=CATEGORIES,
        counts=profile.counts,
        shares=profile.shares,
        left_out=profile.left_out,
        **_precision(profile),
        removal={
            name: dict(
                mAP_gain=profile.map_gain[:, i],
                mAP_N_gain=profile.map_n_gain[:, i],
                average_mAP_gain=profile.map_gain[:, i].mean(),
                average_mAP_N_gain=profile.map_n_gain[:, i].mean(),
            )
            for i, name in enumerate(CATEGORIES[1:])
        },
    )


def _by_characteristic(diagnosis: Diagnosis) -> tuple[dict, dict]:
    sensitivity, negatives = {}, {}
    for name, buckets in diagnosis.options.buckets.items():
        result, shares = diagnosis.sensitivity[name], diagnosis.false_negatives.single[name]
        common = dict(buckets=buckets.names, edges=buckets.edges, instances=result.instances)
        common['empty'] = [name for name, n in zip(buckets.names, result.instances) if not n]
        sensitivity[name] = dict(
            **common,
            mAP_N=result.map_n,
            average_mAP_N=result.map_n.mean(axis=0),
            relative_change=result.change,
        )
        negatives[name] = dict(**common, missed=shares, average_missed=shares.mean(axis=0))
    return sensitivity, negatives


def to_json(diagnosis: Diagnosis) -> Any:
    """Everything, in plain types that :func:`mmtad_decomp.utils.write_json` takes.

    Lists over thresholds follow ``options.tious``; values that do not exist (an empty bucket) are
    null. Averages are means over the thresholds. Shares and mAP are fractions, not percent.
    """
    options, missing = diagnosis.options, diagnosis.false_negatives
    sensitivity, negatives = _by_characteristic(diagnosis)
    pairs = [
        dict(
            characteristics=names,
            instances=missing.pair_instances[names],
            missed=shares,
            average_missed=shares.mean(axis=0),
        )
        for names, shares in missing.pairs.items()
    ]
    return plain(
        dict(
            options=dict(
                tious=options.tious,
                normalizer=options.normalizer,
                max_multiple=options.max_multiple,
                min_tiou=options.min_tiou,
                label_rule=options.label_rule,
                min_precision=options.min_precision,
            ),
            num_ground_truths=diagnosis.num_ground_truths,
            num_predictions=diagnosis.num_predictions,
            classes_with_ground_truth=diagnosis.classes_with_ground_truth,
            **_precision(diagnosis),
            false_positives=_false_positives(diagnosis),
            sensitivity=sensitivity,
            false_negatives=dict(
                missed=missing.overall,
                average_missed=missing.overall.mean(),
                characteristics=negatives,
                pairs=pairs,
            ),
        )
    )


def _percent(value: float) -> str:
    return '-' if np.isnan(value) else f'{100 * value:.1f}'


def _profile_table(diagnosis: Diagnosis) -> str:
    header = ['best predictions', *(TITLES[name] for name in CATEGORIES), 'number']
    numbers = diagnosis.false_positives.counts.sum(axis=2)[:, 0]
    rows = [
        [f'{m}G', *map(_percent, shares), str(number)]
        for m, (shares, number) in enumerate(zip(diagnosis.false_positives.shares, numbers), 1)
    ]
    return format_table(header, rows)


def _removal_table(diagnosis: Diagnosis) -> str:
    profile = diagnosis.false_positives
    rows = [
        [TITLES[name], f'+{_percent(gain)}', f'+{_percent(gain_n)}']
        for name, gain, gain_n in zip(
            CATEGORIES[1:], profile.map_gain.mean(axis=0), profile.map_n_gain.mean(axis=0)
        )
    ]
    return format_table(['removed error', 'average-mAP', 'average-mAP_N'], rows)


def _instance_table(diagnosis: Diagnosis) -> str:
    rows = [
        [
            'all',
            '',
            str(diagnosis.num_ground_truths),
            _percent(diagnosis.map_n.mean()),
            '',
            _percent(diagnosis.false_negatives.overall.mean()),
        ]
    ]
    for name, buckets in diagnosis.options.buckets.items():
        result = diagnosis.sensitivity[name]
        lost = diagnosis.false_negatives.single[name].mean(axis=0)
        for i, (label, interval) in enumerate(zip(buckets.names, buckets.ranges)):
            row = [f'{TITLES[name]} {label}', interval, str(result.instances[i])]
            if result.instances[i]:
                change = result.change[i]
                row += [
                    _percent(result.map_n[:, i].mean()),
                    '-' if np.isnan(change) else f'{100 * change:+.0f} %',
                    _percent(lost[i]),
                ]
            else:
                row += ['empty', '', '']
            rows.append(row)
    header = ['instances', 'range', 'number', 'average-mAP_N', 'change', 'missed']
    return format_table(header, rows)


def _missed_table(diagnosis: Diagnosis) -> str:
    header = ['tIoU', *(f'{tiou:g}' for tiou in diagnosis.options.tious)]
    rows = [
        ['mAP', *map(_percent, diagnosis.map)],
        ['mAP_N', *map(_percent, diagnosis.map_n)],
        ['missed', *map(_percent, diagnosis.false_negatives.overall)],
    ]
    return format_table(header, rows)


def format_report(diagnosis: Diagnosis) -> str:
    """Tables in percent, for the terminal."""
    options = diagnosis.options
    normalizer = '-' if options.normalizer is None else f'{options.normalizer:.4g}'
    return '\n'.join(
        [
            f'{diagnosis.num_predictions} predictions, {diagnosis.num_ground_truths} ground '
            f'truths of {diagnosis.classes_with_ground_truth} classes, N = {normalizer}',
            '',
            'By tIoU (%)',
            _missed_table(diagnosis),
            '',
            f'The best predictions of every class, 1G to {options.max_multiple}G, G = its number '
            'of ground truths (%)',
            _profile_table(diagnosis),
            '',
            'Gain of removing an error (points)',
            _removal_table(diagnosis),
            '',
            'Instances by characteristic (%)',
            _instance_table(diagnosis),
        ]
    )
