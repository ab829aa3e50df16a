"""Controls: what a method has to beat before its own idea counts."""
