"""Extraction of optical flow: estimators, and what is to be done by whom."""
