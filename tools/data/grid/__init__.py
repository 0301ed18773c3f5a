"""FIR: untrimmed ceiling-camera videos."""
