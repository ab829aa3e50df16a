"""Reads YAML files that somebody else may have written, and writes such that are read back as they were."""

from ...datasets.plain_yaml import PlainYamlError as PlainYamlError
from ...datasets.plain_yaml import plain_yaml_text as plain_yaml_text
from ...datasets.plain_yaml import read_plain_yaml as read_plain_yaml
