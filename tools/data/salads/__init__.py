"""50 Salads, from features."""
