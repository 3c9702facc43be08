"""Photos on disk: their rows, their twins, whose they are, what is shown to a network."""
