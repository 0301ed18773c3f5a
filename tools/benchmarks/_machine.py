"""What benchmarks say of the machine that they ran on."""

from __future__ import annotations

import platform
from pathlib import Path


def processor_name() -> str:
    """Model of the processor, or its architecture where the system does not tell."""
    info = Path('/proc/cpuinfo')
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.partition(':')[2].strip() for line in lines if line.startswith('model name')]
    return names[0] if names else platform.processor() or platform.machine()
