"""Candidates from `sources` on their way into a dataset."""
