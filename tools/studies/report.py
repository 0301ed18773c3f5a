"""Results of a study as Markdown tables and as a plot."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from textwrap import fill

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mmtad_decomp.utils import atomic_write
from mmtad_decomp.visualization.titles import names_as_written, shorten_titles

from .comparison import Comparer
from .results import Results

_DOT, _BAR = '#0072B2', '#3A3A3A'


def mean_and_sd(values: Sequence[float], factor: float = 1.0) -> str:
    """``'12.3 ± 0.4'``: mean and sample standard deviation; the mean alone of one value."""
    if not values:
        return '-'
    mean = f'{factor * statistics.fmean(values):.1f}'
    return f'{mean} ± {factor * statistics.stdev(values):.1f}' if len(values) > 1 else mean


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    rule = ['---', *['---:'] * (len(header) - 1)]
    return '\n'.join('| ' + ' | '.join(cells) + ' |' for cells in (header, rule, *rows))


def _health_figures(health: Mapping[str, float]) -> dict[str, float]:
    """Columns that a table can show of the scalars of OutputHealthHook."""
    figures = {name: value for name, value in health.items() if name.startswith('grad_')}
    for kind in ('zero', 'saturated', 'not_finite'):
        shares = [value for name, value in health.items() if f'/{kind}/' in name]
        if shares:
            figures[f'largest share of an output: {kind}'] = max(shares)
    return figures


def _height(names: Sequence[str]) -> float:
    """Inches of a panel whose rows have these names, of one line or more."""
    return len(names) * max((0.42, *(0.2 * (name.count('\n') + 1) for name in names)))


class Report:
    """Tables and plot of the results that are there.

    Args:
        results: Results of a study; ``comparisons`` is brought up to date.
    """

    def __init__(self, results: Results) -> None:
        self.results = results
        self.study = results.catalog.study
        comparer = Comparer(results)
        found = [comparer.compare(*pair) for pair in self.study.compare]
        self.comparisons = [entry for entry in found if entry is not None]
        results.content['comparisons'] = self.comparisons
        self.seeds = {row: seeds for row in self.study.rows if (seeds := results.seeds(row))}
        for row, seeds in self.seeds.items():
            for seed in seeds:
                results.draws(row, seed)  # kept, for rows that a later version compares

    def values(self, row: str, metric: str, subset: str = 'validation') -> list[float]:
        """A metric of a row for each seed that has it."""
        scores = [self.results.score(row, seed) for seed in self.seeds[row]]
        return [score[subset][metric] for score in scores if score and subset in score]

    def _entries(self, row: str) -> list[dict]:
        runs = [run for s in self.seeds[row] for run in self.results.fold_runs(row, s)]
        return [self.results.runs[run.key] for run in runs]

    def markdown(self) -> str:
        """All tables."""
        parts = [f'# {self.study.title}']
        if not self.seeds:
            others = len(self.results.runs)
            found = f'{self.results.path} has {others} runs of other settings, configs or data.'
            return f'{parts[0]}\n\nNo results yet.{f" {found}" if others else ""}\n'
        parts += [self._scores(), self._notes()]
        if self.comparisons:
            parts.append(self._differences())
        health = self._health()
        return '\n\n'.join([*parts, *([health] if health else [])]) + '\n'

    def _columns(self) -> list[str]:
        row = next(iter(self.seeds))
        score = self.results.score(row, self.seeds[row][0])
        assert score is not None  # as of all in `seeds`
        names = list(score['validation'])
        groups = [name for name in names if name.startswith('mAP_')] or ['mAP']
        return groups + [name for name in names if name.startswith('mAP@')]

    def _scores(self) -> str:
        columns, metric = self._columns(), self.study.metric
        titles = [name.replace('mAP_', 'mAP ').replace('mAP@', '') for name in columns]
        trained = metric.replace('_', ' ')
        header = ['system', 'n', *titles, f'{trained}, training videos', 'minutes']
        lines = []
        for row, seeds in self.seeds.items():
            cells = [mean_and_sd(self.values(row, name), 100) for name in columns]
            cells.append(mean_and_sd(self.values(row, metric, 'training'), 100))
            minutes = [entry.get('minutes', 0.0) for entry in self._entries(row)]
            cells.append(f'{sum(minutes) / len(seeds):.1f}')
            lines.append([self.study.rows[row].title, str(len(seeds)), *cells])
        return _table(header, lines)

    def _notes(self) -> str:
        entries = [e for row in self.seeds for e in self._entries(row) if 'processor' in e]
        machines = sorted({f'{e["processor"]} ({e["cores"]} cores a run)' for e in entries})
        memory = max((entry['peak_memory_mb'] for entry in entries), default=0)
        folds = len(self.study.folds)
        pooled = f' The held-out videos of {folds} folds are evaluated together.' * (folds > 1)
        return (
            'mAP in percent, by tIoU: mean ± standard deviation over n seeds, after the last '
            f'epoch.{pooled} Minutes: training for one seed, on {"; ".join(machines)}. Peak '
            f'memory of a process: up to {memory} MB.'
        )

    def _differences(self) -> str:
        titles = {name: row.title for name, row in self.study.rows.items()}
        lines = [
            [
                f'{titles[e["first"]]} - {titles[e["second"]]}',
                str(len(e['seeds'])),
                f'{100 * e["difference"]:+.1f}',
                f'{100 * e["low"]:+.1f} to {100 * e["high"]:+.1f}',
            ]
            for e in self.comparisons
        ]
        header = ['difference', 'seeds', self.study.metric.replace('_', ' '), '95 % interval']
        return (
            f'{_table(header, lines)}\n\nPaired differences; intervals by '
            f'{self.study.resamples} draws of videos and seeds. With one seed they cover the '
            'choice of videos only.'
        )

    def _health(self) -> str:
        """Shares of the gradient, and the worst figure of any output, at the end of training."""
        rows = list(self.seeds)
        found = {
            row: [_health_figures(entry.get('health', {})) for entry in self._entries(row)]
            for row in rows
        }
        names = {name: None for row in rows for figures in found[row] for name in figures}
        lines = []
        for name in names:
            values = [[f[name] for f in found[row] if name in f] for row in rows]
            lines.append([name, *(f'{statistics.fmean(v):.2g}' if v else '-' for v in values)])
        header = ['health at the end', *(self.study.rows[row].title for row in rows)]
        return _table(header, lines) if lines else ''

    @names_as_written
    def plot(self) -> Figure:
        """Mean, standard deviation and seeds of each row; beside it the paired differences."""
        titles = {name: fill(row.title, 40) for name, row in self.study.rows.items()}
        rows = list(self.seeds)
        names = [titles[row] for row in rows]
        pairs = [f'{titles[e["first"]]} -\n{titles[e["second"]]}' for e in self.comparisons]
        wide, height = bool(pairs), 1.2 + max(_height(names), _height(pairs))
        figure = Figure(figsize=(12 if wide else 7, height), layout='constrained')
        FigureCanvasAgg(figure)
        panels = figure.subplots(1, 2 if wide else 1, squeeze=False)[0]
        panels[0].set_title(self.study.title, loc='left', fontsize=10)
        metric = self.study.metric.replace('_', ' ')
        for place, row in enumerate(rows):
            values = [100 * value for value in self.values(row, self.study.metric)]
            spread = statistics.stdev(values) if len(values) > 1 else None
            panels[0].plot(values, [place] * len(values), '.', color=_BAR, alpha=0.5, zorder=3)
            self._bar(panels[0], place, statistics.fmean(values), spread)
        label = f'{metric} (%)\nmean ± standard deviation, seeds as dots'
        self._axes(panels[0], names, label)
        if wide:
            for place, e in enumerate(self.comparisons):
                low, middle, high = (100 * e[key] for key in ('low', 'difference', 'high'))
                reach = [[max(0, middle - low)], [max(0, high - middle)]]
                self._bar(panels[1], place, middle, reach)
            panels[1].axvline(0, color='#999999', linewidth=0.8)
            self._axes(panels[1], pairs, f'difference in {metric}, points\n95 % interval')
        shorten_titles(figure)
        return figure

    @staticmethod
    def _bar(axes, place: int, value: float, reach: object) -> None:
        axes.errorbar(
            value, place, xerr=reach, fmt='o', color=_DOT, ecolor=_DOT, capsize=3, zorder=2
        )

    @staticmethod
    def _axes(axes, names: Sequence[str], label: str) -> None:
        axes.set_xlabel(label, fontsize=9)
        axes.set_yticks(range(len(names)), names, fontsize=9)
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.grid(axis='x', color='#DDDDDD', linewidth=0.6)
        axes.set_axisbelow(True)
        for side in ('top', 'right'):
            axes.spines[side].set_visible(False)

    def write(self) -> list[str]:
        """Write the JSON file, the tables (``<name>_table.md``) and the plot (``<name>.png``).

        Returns:
            The paths.
        """
        path = self.results.path
        text, figure = self.markdown(), self.plot() if self.seeds else None
        self.results.save()  # which may take over newer results than those of the tables
        table, picture = path.with_name(f'{path.stem}_table.md'), path.with_suffix('.png')
        with atomic_write(table, 'w', encoding='utf-8') as file:
            file.write(text)
        written = [str(path), str(table)]
        if figure is not None:
            with atomic_write(picture) as file:
                figure.savefig(file, format='png', dpi=120)
            written.append(str(picture))
        return written
