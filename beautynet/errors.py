"""The exception that users see: one line, what is wrong and what to do about it."""

import re

OUT_OF_MEMORY = re.compile("out of memory|allocate memory|not enough memory|ALLOC_FAILED")
"""How torch says it on each device, where it has no class of its own for it."""


class BeautyError(Exception):
    """An expected failure. Its message is one sentence that names the problem and the next step."""


class UsageError(BeautyError):
    """Something was asked for that cannot be, whatever the files say: the command line exits with 2, as for a typo."""
