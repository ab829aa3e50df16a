"""Tables that were saved by ``torch.save``: tensors and lists of text, and nothing that would run code."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np

from ...datasets.dataset import data_error

_EXPECTED = "a dict of columns: {'sample_id': [...], 'text': tensor of 0 and 1, ...}"


def read_tensors(file: Path) -> dict[str, np.ndarray]:
    """The columns of a file, by torch's restricted reader (``weights_only=True``).

    Args:
        file: holds a dict of tensors, or of lists of text or whole numbers.

    Returns:
        Name -> array, of any shape.

    Raises:
        DataError: it is broken, would run code when it is read, or holds anything else, such as a tensor of masks by the
            place of a sample in some order: nothing says which sample is which.
    """
    import torch  # a table of text needs none of it

    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        wrong = "is broken, or holds objects other than tensors, numbers and text, which could run code"
        raise data_error(file, "", wrong, _EXPECTED) from None
    except Exception as error:  # whatever a broken file makes of the reader
        first = (str(error) or type(error).__name__).splitlines()[0]
        raise data_error(file, "", f"cannot be read ({first})", _EXPECTED) from None
    if not isinstance(content, dict):
        wrong = f"holds a {type(content).__name__} and no names of samples"
        raise data_error(file, "", wrong, _EXPECTED)
    columns = {}
    for name, values in content.items():
        if isinstance(values, torch.Tensor):
            columns[str(name)] = values.detach().cpu().numpy()
        elif isinstance(values, list) and all(isinstance(one, str | int) for one in values):
            columns[str(name)] = np.array([str(one) for one in values])
        else:
            raise data_error(file, str(name), f"a {type(values).__name__}", "a tensor, or a list of text")
    return columns
