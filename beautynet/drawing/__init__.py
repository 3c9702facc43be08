"""A few ellipses, and networks that have to be convinced."""
