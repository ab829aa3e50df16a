"""Methods that read whole conversations."""
