"""Reads YAML files that somebody else may have written: plain values, of bounded size, and every fault in one line.

What mmbench writes itself is read back as it was: a text that looks like a number is quoted.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import yaml

Scalars = Literal["values", "text"]

#: The most bytes of a file, levels of nesting, and values once every alias is written out.
_MOST_BYTES, _MOST_LEVELS, _MOST_VALUES = 2**22, 50, 1_000_000
#: The most characters of a fault that are shown.
_LONGEST = 300


class PlainYamlError(ValueError):
    """A file that is no plain YAML. The message is one line, with the place in the file where there is one.

    Attributes:
        line: the line that is at fault, from 1; 0 where none is.
        wrong: what is wrong there.
    """

    def __init__(self, wrong: str, line: int = 0) -> None:
        self.wrong = _one_line(wrong)
        self.line = line
        super().__init__(f"line {line}: {self.wrong}" if line else self.wrong)


def read_plain_yaml(file: Path, scalars: Scalars = "values") -> Any:
    """The content of a YAML file.

    Args:
        file: the file; a pipe is read, too.
        scalars: ``"values"``: numbers, truth values, dates and None as YAML has them, but numbers are decimal:
            ``90:00`` and ``0123`` are texts. ``"text"``: every scalar is the text that is written.

    Returns:
        Plain values: maps, lists, texts, numbers below 2^63, truth values, dates, and None.

    Raises:
        OSError: it cannot be read.
        PlainYamlError: it is not UTF-8 or not YAML, gives a key twice, names a value that does not exist (the 31st of
            February), or is larger or deeper than a description can be.
    """
    with open(file, "rb") as stream:
        content = stream.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise PlainYamlError(f"has more than the {_MOST_BYTES} bytes that are read")
    try:
        return parse_plain_yaml(content.decode(), scalars)
    except UnicodeDecodeError as error:
        raise PlainYamlError(f"not UTF-8 ({error})") from None


def parse_plain_yaml(text: str, scalars: Scalars = "values") -> Any:
    """The value that a YAML text stands for, as ``read_plain_yaml`` reads it of a file.

    Args:
        text: YAML.
        scalars: as of ``read_plain_yaml``.

    Raises:
        PlainYamlError: it is not YAML, or not of plain values.
    """
    import yaml

    try:
        values = _loader(scalars)(text).get_single_data()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        wrong = ", ".join(part for part in (error.context, error.problem) if part)
        raise PlainYamlError(wrong or "not YAML", mark.line + 1 if mark else 0) from None
    except yaml.YAMLError as error:
        raise PlainYamlError(str(error)) from None
    except (ValueError, OverflowError, RecursionError, MemoryError) as error:
        if isinstance(error, PlainYamlError):
            raise
        raise PlainYamlError(f"cannot be read ({error})") from None
    if _size(values, {}) > _MOST_VALUES:
        raise PlainYamlError(f"stands for more than {_MOST_VALUES} values once its aliases are written out")
    return values


def plain_yaml_text(values: Any, *, sort_keys: bool = False) -> str:
    """The YAML text that ``parse_plain_yaml`` reads as the same values.

    Args:
        values: plain values.
        sort_keys: whether maps are written in the order of their keys, not in their own.
    """
    import yaml

    class Dumper(yaml.SafeDumper):
        """Quotes texts that are numbers to the loader, beside those that are numbers in YAML 1.1."""

    def represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
        style = '"' if any(mark in text for mark in _BREAKS) else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)

    Dumper.add_representer(str, represent_text)
    Dumper.add_implicit_resolver("tag:yaml.org,2002:int", _WHOLE, list("-+0123456789"))
    Dumper.add_implicit_resolver("tag:yaml.org,2002:float", _POINT, list("-+0123456789."))
    return yaml.dump(values, Dumper=Dumper, sort_keys=sort_keys, allow_unicode=True)


def _loader(scalars: Scalars) -> Any:
    """The class that reads; made here, as the library is loaded only where a file is read."""
    import yaml

    class Loader(yaml.SafeLoader):
        depth = 0

        def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
            if self.depth >= _MOST_LEVELS:
                line = self.peek_event().start_mark.line + 1
                raise PlainYamlError(f"more than {_MOST_LEVELS} levels of nesting", line)
            self.depth += 1
            try:
                return super().compose_node(parent, index)
            finally:
                self.depth -= 1

        def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
            """YAML forbids a key given twice (YAML 1.2.2, section 3.2.1.1); PyYAML keeps the last one."""
            node = super().compose_mapping_node(anchor)
            first: dict[tuple[str, str], int] = {}
            for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
                line = key.start_mark.line + 1
                if (key.tag, key.value) in first:
                    known = first[key.tag, key.value]
                    raise PlainYamlError(f"{key.value!r} again, first in line {known}", line)
                first[key.tag, key.value] = line
            return node

        def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
            line = node.start_mark.line + 1
            try:
                value = super().construct_object(node, deep)
            except (yaml.YAMLError, PlainYamlError):
                raise
            except Exception as error:  # of a constructor of the library, by a value that does not exist
                shown = _one_line(str(node.value), 40) if isinstance(node, yaml.ScalarNode) else "a value"
                raise PlainYamlError(
                    f"{shown!r} is no {node.tag.rpartition(':')[2]} ({error})", line
                ) from None
            if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 2**63:
                raise PlainYamlError("a whole number beyond 2^63", line)
            if isinstance(value, str) and ("\0" in value or not _is_unicode(value)):
                raise PlainYamlError("a text with a character that no name or path can hold", line)
            return value

    known = yaml.SafeLoader.yaml_implicit_resolvers if scalars == "values" else {}
    Loader.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith((":int", ":float"))]
        for first, resolvers in known.items()
    }
    if scalars == "values":
        # YAML 1.1 reads 90:00 as 5400, a number to the base 60, and 0123 as 83.
        Loader.add_implicit_resolver("tag:yaml.org,2002:int", _WHOLE, list("-+0123456789"))
        Loader.add_implicit_resolver("tag:yaml.org,2002:float", _POINT, list("-+0123456789."))
    return Loader


#: Characters beyond ASCII that YAML takes for line breaks, and the mark of byte order: PyYAML loses them without quotes.
_BREAKS = "\x85\u2028\u2029\ufeff"
#: Decimal numbers: whole ones, and those with a point, infinity and NaN among them.
_WHOLE = re.compile(r"[-+]?(?:0|[1-9][0-9_]*)$")
_POINT = re.compile(
    r"[-+]?(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?$"
    r"|[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+$|[-+]?\.inf$|\.nan$",
    re.IGNORECASE,
)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _size(value: Any, known: dict[int, int]) -> int:
    """The number of values in a value, with all that its aliases stand for. Raises PlainYamlError where it holds itself."""
    if not isinstance(value, dict | list | set | tuple):
        return 1
    if id(value) not in known:
        known[id(value)] = -1
        parts = [*value, *value.values()] if isinstance(value, dict) else value
        known[id(value)] = 1 + sum(_size(part, known) for part in parts)
    if known[id(value)] < 0:
        raise PlainYamlError("an alias that stands for what it is in")
    return known[id(value)]


def _one_line(text: str, longest: int = _LONGEST) -> str:
    """A text on one line, of printable characters."""
    line = "".join(letter if letter.isprintable() else "?" for letter in " ".join(text.split()))
    return line if len(line) <= longest else line[: longest - 1] + "…"
