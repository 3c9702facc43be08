"""The one exception that users see: one line, what is wrong and what to do about it."""


class BeautyError(Exception):
    """An expected failure. Its message is one sentence that names the problem and the next step."""
