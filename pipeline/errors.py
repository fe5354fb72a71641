"""The one exception for what a user can mend."""


class InputError(Exception):
    """Bad input: the message says what was expected, what was found, where, and what to do."""
