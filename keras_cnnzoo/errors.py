"""What a user did wrong, in one sentence."""


class InputError(ValueError):
    """Bad input: one sentence that names the value, the limits and the way out.

    The command-line tools print it without a traceback and exit with code 2.
    """
