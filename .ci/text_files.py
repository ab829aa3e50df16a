"""Looks whether text files end with one newline, and whether YAML and TOML can be read.

    python .ci/text_files.py FILE...

Files are changed by nobody: each fault is one line, and the exit code is then 1.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import yaml


def faults(file: Path) -> list[str]:
    """What is wrong with a file, one line each; nothing where all is well."""
    try:
        text = file.read_bytes().decode("utf-8")
    except UnicodeDecodeError:
        return [f"{file}: not UTF-8"]
    lines = []
    if text and not text.endswith("\n"):
        lines.append(f"{file}: no newline at its end")
    if text.endswith("\n\n"):
        lines.append(f"{file}: more than one newline at its end")
    if "\r\n" in text:
        lines.append(f"{file}: lines that end as on Windows")
    try:
        if file.suffix in (".yml", ".yaml", ".cff"):
            list(yaml.safe_load_all(text))
        elif file.suffix == ".toml":
            tomllib.loads(text)
    except (yaml.YAMLError, tomllib.TOMLDecodeError) as error:
        lines.append(f"{file}: {' '.join(str(error).split())}")
    return lines


def main() -> int:
    """Looks at the files that the arguments name."""
    lines = [line for name in sys.argv[1:] for line in faults(Path(name))]
    print("\n".join(lines), end="\n" if lines else "")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
