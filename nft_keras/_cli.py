"""What the command lines of the package have in common: how they end."""

import os
import sys


def answer(errors, function, *arguments):
    """Calls a function; what the user can mend is one line on stderr.

    Args:
        errors: exception classes, whose messages are that line.
        function, *arguments: what to call.

    Returns:
        The exit code: 0, or 2 after such an error.
    """
    try:
        function(*arguments)
    except errors as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def end(main):
    """Runs a `main()` that returns an exit code, and ends the program with it; Ctrl-C ends it at once with 130."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr, flush=True)
        sys.stdout.flush()
        os._exit(130)  # TensorFlow's threads do not wait to be joined
    except BrokenPipeError:
        os._exit(1)
