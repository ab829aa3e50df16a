"""Lightning, without what it loads and no training needs.

Lightning checks two base classes of torchmetrics, but the package of that name imports all its metrics, and with them
transformers, torchvision, matplotlib and scipy.signal: half of the time in which a worker starts. Here only the two classes are
imported at first; the package imports the rest when something else of it is asked for.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import sys
from importlib.metadata import version
from types import ModuleType
from typing import Any

#: The package that is imported in part, and its module of pictures, which imports matplotlib.
PACKAGE = "torchmetrics"
PLOT = "torchmetrics.utilities.plot"


def import_torchmetrics_in_part() -> None:
    """Imports ``Metric`` and ``MetricCollection`` of torchmetrics; all else of it when it is first asked for.

    Does nothing where torchmetrics is imported already, and imports all of it where a release cannot be had in part.
    """
    spec = importlib.util.find_spec(PACKAGE)
    if PACKAGE in sys.modules or spec is None or spec.loader is None:
        return
    package, loader = importlib.util.module_from_spec(spec), spec.loader

    def import_the_rest(name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(f"module {PACKAGE!r} has no attribute {name!r}")
        vars(package).pop("__getattr__", None)
        loader.exec_module(package)
        return getattr(package, name)

    # What the parts take from the package, and what Lightning asks of it.
    vars(package).update(
        _logger=logging.getLogger(PACKAGE), __version__=version(PACKAGE), __getattr__=import_the_rest
    )
    sys.modules[PACKAGE], sys.modules[PLOT] = package, _plot_when_called()
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


import_torchmetrics_in_part()

from lightning.fabric.plugins.environments.lightning import LightningEnvironment  # noqa: E402
from lightning.pytorch import LightningModule, Trainer  # noqa: E402
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig  # noqa: E402

__all__ = ["LightningEnvironment", "LightningModule", "OptimizerLRSchedulerConfig", "Trainer"]
