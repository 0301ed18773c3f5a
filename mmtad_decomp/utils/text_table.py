"""Tables in plain text."""

from __future__ import annotations

from collections.abc import Sequence


def format_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Align columns: the first to the left, the others to the right.

    Args:
        header: Names of the columns.
        rows: Cells, as many in each row as in the header.
    """
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        first = cells[0].ljust(widths[0])
        return '  '.join([first, *(cell.rjust(w) for cell, w in zip(cells[1:], widths[1:]))])

    rule = '  '.join('-' * width for width in widths)
    return '\n'.join([line(header), rule, *map(line, rows)])
