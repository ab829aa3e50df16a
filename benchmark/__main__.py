"""``python -m mmbench.benchmark`` is the command ``mmbench``."""

import os
import sys


def _drop_working_folder() -> None:
    """Takes the working folder off the path, where ``-m`` put it, unless mmbench itself is found there. Nothing may be
    imported before."""
    here = os.getcwd()
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    if not sys.flags.safe_path and sys.path[0] in ("", here) and os.path.dirname(package) != here:
        del sys.path[0]


if __name__ == "__main__":
    _drop_working_folder()

    from .cli.main import main

    main()
