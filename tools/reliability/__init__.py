"""Scripts that try to break the tools: kills, full disks, bad input, many processes."""
