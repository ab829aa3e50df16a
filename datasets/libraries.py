"""Libraries that are imported where they are used: what to type where one is missing or broken. No torch here.

Optional libraries sit in extras of the distribution, whose metadata hold their names and bounds. An import can fail
in many ways: the library is not installed, a shared library of it does not load beside the installed torch, a
dependency of it is broken. Whatever the exception, the user gets one line: what needs the library, the reason, and
the command that mends it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.util import find_spec

from packaging.requirements import Requirement
from packaging.version import InvalidVersion

from .dataset import DataError

_DISTRIBUTION = "mmbench"
#: Module -> distribution, where the two names differ.
DISTRIBUTIONS = {
    "PIL": "pillow",
    "mlflow": "mlflow-skinny",
    "pynvml": "nvidia-ml-py",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}
_MODULES = {distribution: module for module, distribution in DISTRIBUTIONS.items()}
#: Extras that are not looked at: the union of the others, and what the tests and the documentation's site need.
_COLLECTIVE = ("all", "test", "docs")
_LONGEST = 200  # letters of an exception's message that are shown


class LibraryError(DataError, ImportError):
    """A library that is needed and cannot be imported. The message is one line that ends with what to type."""


@dataclass(frozen=True)
class Library:
    """A library that mmbench requires or offers.

    Attributes:
        module: the name that is imported, such as ``PIL``.
        distribution: the name that is installed, such as ``pillow``.
        requirement: name and bounds, as pip takes them: ``torchaudio==2.11.0``.
        extra: the extra of mmbench that it comes with; empty where mmbench requires it.
    """

    module: str
    distribution: str
    requirement: str
    extra: str = ""

    def version(self) -> str | None:
        """The installed version, as its metadata say; None where there are no metadata."""
        try:
            return version(self.distribution)
        except PackageNotFoundError:
            return None

    def is_installed(self) -> bool:
        """Whether the module is there to be imported. Nothing is imported."""
        try:
            return find_spec(self.module) is not None
        except ValueError:  # in sys.modules, but made by hand
            return True

    def fits(self) -> bool:
        """Whether the installed version is within the bounds; also true where it is not known."""
        installed = self.version()
        try:
            return installed is None or Requirement(self.requirement).specifier.contains(installed, True)
        except InvalidVersion:
            return False

    def install_command(self) -> str:
        """The command that installs the library."""
        return f'pip install "{_DISTRIBUTION}[{self.extra}]"' if self.extra else self.repair_command()

    def repair_command(self, error: BaseException | None = None) -> str:
        """The command that repairs an installed library that does not work.

        Args:
            error: what its import raised; None where its version alone is wrong.
        """
        command = f'pip install "{self.requirement}"'
        if error is None or not self.fits() or isinstance(error, ModuleNotFoundError):
            return command  # pip installs another version, or the dependency that is not there
        return f"{command} --force-reinstall --no-deps"


@lru_cache
def libraries() -> dict[str, Library]:
    """Module -> library, of all that the metadata of the distribution name; empty without metadata."""
    try:
        lines = requires(_DISTRIBUTION) or []
    except PackageNotFoundError:  # a checkout on the path, which nobody installed
        return {}
    known: dict[str, Library] = {}
    for requirement in map(Requirement, lines):
        extra = _extra(requirement)
        if extra in _COLLECTIVE or requirement.name == _DISTRIBUTION:
            continue
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": extra}):
            continue  # meant for another system
        module = _MODULES.get(requirement.name.lower(), requirement.name.replace("-", "_"))
        line = f"{requirement.name}{requirement.specifier}"
        known.setdefault(module, Library(module, requirement.name, line, extra))
    return known


def _extra(requirement: Requirement) -> str:
    _, marker, rest = str(requirement.marker or "").partition("extra ==")
    return rest.strip().strip("()").strip("\"' ") if marker else ""


def library_of(module: str) -> Library:
    """The library that holds a module, which may be one that the metadata do not name."""
    root = module.partition(".")[0]
    distribution = DISTRIBUTIONS.get(root, root)
    return libraries().get(root) or Library(root, distribution, distribution)


@contextmanager
def import_guard(module: str, needed_by: str) -> Iterator[None]:
    """Turns whatever an import raises into a LibraryError of one line.

        with import_guard("torchaudio", "encoder log-mel"):
            from torchaudio.transforms import MelSpectrogram

    Args:
        module: the library's name as it is imported.
        needed_by: what needs it, in words that begin a sentence.

    Raises:
        LibraryError: the library is not installed, or its import raises anything.
    """
    try:
        yield
    except LibraryError:
        raise
    except (Exception, SystemExit) as error:
        raise LibraryError(f"{needed_by} needs {module}: {explanation(error, library_of(module))}") from error


def check_installed(modules: Iterable[str], needed_by: str) -> None:
    """Says before anything runs that a library is not installed. Nothing is imported.

    Args:
        modules: the libraries' names as they are imported.
        needed_by: what needs them, in words that begin a sentence.

    Raises:
        LibraryError: one is not installed; the message says what to type.
    """
    for module in modules:
        library = library_of(module)
        if not library.is_installed():
            raise LibraryError(
                f"{needed_by} needs {module}: it is not installed: {library.install_command()}"
            )


def explanation(error: BaseException, library: Library) -> str:
    """Why a library cannot be imported, and what to type, in one line.

    Args:
        error: what its import raised.
        library: what was to be imported; the cause may be another library that it imports.
    """
    cause = cause_of(error, library)
    which = "it" if cause == library else cause.module
    if not cause.is_installed():
        return f"{which} is not installed: {cause.install_command()}"
    installed = cause.version() or "of unknown version"
    reason = f"{cause.module} {installed} cannot be imported ({first_line(error)})"
    return f"{reason}: {cause.repair_command(error)} (mmbench doctor checks all libraries)"


def cause_of(error: BaseException, library: Library) -> Library:
    """The library whose import failed: ``library`` itself, or one that was being imported by it.

    Args:
        error: what the import raised.
        library: what was imported.
    """
    if isinstance(error, ModuleNotFoundError) and error.name:
        missing = libraries().get(error.name.partition(".")[0])
        if missing is not None and not missing.is_installed():
            return missing
    cause = library
    for link in _chain(error):
        trace = link.__traceback__
        while trace is not None:
            frame = trace.tb_frame
            root = str(frame.f_globals.get("__name__", "")).partition(".")[0]
            # a function may belong to a library that only does what it is told, as torch does when it loads others
            if frame.f_code.co_name == "<module>" and root in libraries():
                cause = library_of(root)
            trace = trace.tb_next
    return cause


def _chain(error: BaseException) -> list[BaseException]:
    """An exception and those that led to it, the latest first."""
    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in chain:
        chain.append(link)
        link = link.__cause__ or link.__context__
    return chain


def first_line(error: BaseException) -> str:
    """The class of an exception and the first line of its message."""
    if isinstance(error, SystemExit):
        return f"it ends the process with {error.code!r}"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    name = type(error).__name__
    return f"{name}: {lines[0][:_LONGEST]}" if lines else name
