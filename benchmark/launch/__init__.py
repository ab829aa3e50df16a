"""From jobs to workers."""
