"""`python -m beautynet`, where the folder of commands is not on the path."""

from beautynet.cli import main

main()
