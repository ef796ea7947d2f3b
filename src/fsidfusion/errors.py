"""The one exception that is the user's to mend, and how it reads."""


class UserError(Exception):
    """Something the caller gave cannot be used.

    The message is one line that says what was given, what was expected and what to do. The command
    line prints it and exits with status 2; in the Python API it is raised as it is.
    """
