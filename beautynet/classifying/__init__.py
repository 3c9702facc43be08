"""A classifier from a few dozen labelled pictures."""
