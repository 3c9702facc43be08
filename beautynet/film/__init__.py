"""Films: read, developed, steadied, written."""
