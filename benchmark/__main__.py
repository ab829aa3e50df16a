"""``python -m mmbench.benchmark`` and the command ``mmbench``."""

import os
import sys

#: Seconds after which a terminal is told that the command is on its way.
_PATIENCE = 0.2


def _drop_working_folder() -> None:
    """Takes the working folder off the path, where ``-m`` put it, unless mmbench itself is found there. Nothing may be
    imported before."""
    here = os.getcwd()
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    if not sys.flags.safe_path and sys.path[0] in ("", here) and os.path.dirname(package) != here:
        del sys.path[0]


def start() -> None:
    """Runs the command. A terminal shows a line while it is loaded, which takes seconds on a busy machine."""
    if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb" or "_MMBENCH_COMPLETE" in os.environ:
        from .cli.main import main
    else:
        import threading

        loaded = threading.Event()

        def say() -> None:
            if not loaded.wait(_PATIENCE):
                print("mmbench: loading ...", end="", file=sys.stderr, flush=True)
                loaded.wait()
                print("\r\033[K", end="", file=sys.stderr, flush=True)

        sayer = threading.Thread(target=say, daemon=True)
        sayer.start()
        try:
            from .cli.main import main
        finally:
            loaded.set()
            sayer.join()
    main()


if __name__ == "__main__":
    _drop_working_folder()
    start()
