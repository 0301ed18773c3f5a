"""ActivityNet-1.3: annotations and videos."""
