"""``python -m mmbench.benchmark`` is the command ``mmbench``."""

from .cli.main import main

if __name__ == "__main__":
    main()
