"""The tensors of a task."""
