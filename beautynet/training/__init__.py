"""Both networks and how they learn, and what is said of it."""
