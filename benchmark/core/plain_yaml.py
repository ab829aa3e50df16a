"""The reader of YAML files that somebody else may have written."""

from ...datasets.plain_yaml import PlainYamlError as PlainYamlError
from ...datasets.plain_yaml import read_plain_yaml as read_plain_yaml
