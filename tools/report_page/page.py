"""The page: a template, its style and its script around the content."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from pathlib import Path

from mmtad_decomp.utils import atomic_write

from .content import page_content
from .plots import page_pictures
from .runs import ReportError, Run

_FILES = Path(__file__).parent / 'files'


def write_page(out: str | Path, runs: Sequence[Run], embed_mb: float) -> dict:
    """Write one HTML file that needs no other, and no network.

    Args:
        out: The file.
        runs: One or two runs; two must be tested on the same ground truth.
        embed_mb: Megabytes of videos to put into the page; the others are linked.

    Returns:
        The content shown.

    Raises:
        ReportError: If two runs have the same name, or were tested on different videos, instances
            or classes.
    """
    demand_own_names(runs)
    demand_same_truth(runs)
    out, tious = Path(out), runs[0].tious
    content = page_content(runs, tious, embed_mb, out)
    pictures = page_pictures(runs, tious)
    title = ' and '.join(run.name for run in runs)
    parts = dict(
        TITLE=html.escape(title),
        STYLE=(_FILES / 'page.css').read_text(encoding='utf-8'),
        PICTURES='\n'.join(
            f'<figure><figcaption>{html.escape(p["title"])}</figcaption>'
            f'<img src="{p["src"]}" alt="{html.escape(p["title"])}"></figure>'
            for p in pictures
        ),
        # "</" would end the script
        CONTENT=json.dumps(content, allow_nan=False, separators=(',', ':')).replace('</', '<\\/'),
        SCRIPT=(_FILES / 'page.js').read_text(encoding='utf-8'),
    )
    text = (_FILES / 'page.html').read_text(encoding='utf-8')
    pieces = text.split('@@')
    text = ''.join(parts[p] if i % 2 else p for i, p in enumerate(pieces))
    with atomic_write(out, 'w', encoding='utf-8') as file:
        file.write(text)
    return content


def demand_own_names(runs: Sequence[Run]) -> None:
    """Check that the page can tell the runs apart.

    Raises:
        ReportError: If two have the same name.
    """
    names = [run.name for run in runs]
    for name in names:
        if names.count(name) > 1:
            raise ReportError(
                f'{names.count(name)} runs have the name "{name}"; give each a name of its own by '
                '--name'
            )


def demand_same_truth(runs: Sequence[Run]) -> None:
    """Check that runs can be compared.

    Raises:
        ReportError: If they were tested on different ground truth.
    """
    first = runs[0].annotations
    for run in runs[1:]:
        other = run.annotations
        same = first.classes == other.classes and [*first.videos] == [*other.videos]
        same = same and all(
            video.segments.tolist() == other.videos[key].segments.tolist()
            and video.labels.tolist() == other.videos[key].labels.tolist()
            for key, video in first.videos.items()
        )
        if not same:
            raise ReportError(
                f'{runs[0].name} and {run.name} were tested on different ground truth '
                f'({first.ann_file}: {first.census}; {other.ann_file}: {other.census}); test both '
                'on the same'
            )
