"""The open layout: arrays in npz, parquet or safetensors files, described by a ``dataset.yaml``."""
