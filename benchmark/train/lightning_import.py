"""Lightning, without what it loads and no training needs.

Lightning checks two base classes of torchmetrics, but the package of that name imports all its metrics, and with them
transformers, torchvision, matplotlib and scipy.signal. Lightning and every optimiser also import the compiler of torch, which
takes as long as torch itself, to ask whether a model was compiled. Here only what is asked of the two packages is there at
first; each imports the rest when something else of it is asked for, as ``torch.compile`` does.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import sys
from collections.abc import Callable
from functools import lru_cache, partial, wraps
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.metadata import version
from inspect import isfunction
from types import ModuleType
from typing import Any

#: The package of metrics that is imported in part, and its module of pictures, which imports matplotlib.
PACKAGE = "torchmetrics"
PLOT = "torchmetrics.utilities.plot"

#: The compiler of torch.
COMPILER = "torch._dynamo"


def _in_part(name: str) -> ModuleType | None:
    """A package that imports its modules when something of it is asked for that it does not have yet.

    Returns:
        The package, empty, under its name in ``sys.modules``; None where it is imported already or not installed.
    """
    spec = None if name in sys.modules else importlib.util.find_spec(name)
    if spec is None or spec.loader is None:
        return None
    package, loader = importlib.util.module_from_spec(spec), spec.loader

    def import_the_rest(asked: str) -> Any:
        if asked.startswith("__"):
            raise AttributeError(f"module {name!r} has no attribute {asked!r}")
        vars(package).pop("__getattr__", None)
        loader.exec_module(package)
        return getattr(package, asked)

    vars(package)["__getattr__"] = import_the_rest
    sys.modules[name] = package
    return package


def import_torchmetrics_in_part() -> None:
    """Imports ``Metric`` and ``MetricCollection`` of torchmetrics; all else of it when it is first asked for.

    Does nothing where torchmetrics is imported already, and imports all of it where a release cannot be had in part.
    """
    package = _in_part(PACKAGE)
    if package is None:
        return
    # What the parts take from the package, and what Lightning asks of it.
    vars(package).update(_logger=logging.getLogger(PACKAGE), __version__=version(PACKAGE))
    sys.modules[PLOT] = _plot_when_called()
    try:
        importlib.import_module(f"{PACKAGE}.utilities")
        for name, module in (("Metric", "metric"), ("MetricCollection", "collections")):
            vars(package)[name] = getattr(importlib.import_module(f"{PACKAGE}.{module}"), name)
    except (ImportError, AttributeError):
        for module in [name for name in sys.modules if name.split(".")[0] == PACKAGE]:
            del sys.modules[module]
    sys.modules.pop(PLOT, None)


def _plot_when_called() -> ModuleType:
    """What a metric takes from the module of pictures; its function imports that module when it is called."""

    def plot_single_or_multi_val(*args: Any, **options: Any) -> Any:
        return importlib.import_module(PLOT).plot_single_or_multi_val(*args, **options)

    module = ModuleType(PLOT)
    vars(module).update(
        _AX_TYPE=object, _PLOT_OUT_TYPE=object, plot_single_or_multi_val=plot_single_or_multi_val
    )
    return module


class _ModulesOfTheCompiler(MetaPathFinder, Loader):
    """Imports the whole package before any module of it, as Python would if the package were not there yet."""

    def find_spec(
        self, name: str, path: object = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Imports the package where a module of it is asked for, and with it in most cases the module."""
        if not name.startswith(f"{COMPILER}."):
            return None
        sys.meta_path.remove(self)
        vars(sys.modules[COMPILER]).get("__getattr__", lambda asked: None)("config")
        self.found = vars(sys.modules[name])["__spec__"] if name in sys.modules else None
        return self.found and ModuleSpec(name, self)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """The module that the package has imported: nothing of it is run twice."""
        return sys.modules[spec.name]

    def exec_module(self, module: ModuleType) -> None:
        """Leaves the module as it was."""
        module.__spec__ = self.found


class _Compiled(type):
    """The type of a class that no object has before a model is compiled, and then every compiled model."""

    def __instancecheck__(cls, instance: object) -> bool:
        whole = vars(sys.modules[COMPILER])["OptimizedModule"]
        return whole is not cls and isinstance(instance, whole)


class OptimizedModule(metaclass=_Compiled):
    """Stands for the class of compiled models."""


def disable(function: Any = None, recursive: bool = True, **options: Any) -> Any:
    """As ``torch._dynamo.disable``: keeps a function from being compiled; the compiler is asked when there is one."""
    if function is None:
        return partial(disable, recursive=recursive, **options)
    compiler = sys.modules[COMPILER]
    if not isfunction(function):
        return vars(compiler)["__getattr__"]("disable")(function, recursive, **options)

    @lru_cache(maxsize=1)
    def disabled() -> Callable[..., Any]:
        return compiler.disable(function, recursive, **options)

    @wraps(function)
    def called(*args: Any, **kwargs: Any) -> Any:
        return (function if compiler.disable is disable else disabled())(*args, **kwargs)

    return called


def graph_break() -> None:
    """As ``torch._dynamo.graph_break``, which does nothing while nothing is compiled."""


def import_the_compiler_when_it_compiles() -> None:
    """Answers what Lightning and optimisers ask of ``torch._dynamo``, and imports it when something else is asked of it.

    Does nothing where it is imported already.
    """
    package = _in_part(COMPILER)
    if package is not None:
        vars(package).update(OptimizedModule=OptimizedModule, disable=disable, graph_break=graph_break)
        sys.meta_path.insert(0, _ModulesOfTheCompiler())


import_torchmetrics_in_part()
import_the_compiler_when_it_compiles()

from lightning.fabric.plugins.environments.lightning import LightningEnvironment  # noqa: E402
from lightning.pytorch import LightningModule, Trainer  # noqa: E402
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig  # noqa: E402

__all__ = ["LightningEnvironment", "LightningModule", "OptimizerLRSchedulerConfig", "Trainer"]
