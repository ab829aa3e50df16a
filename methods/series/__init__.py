"""Methods of series that are sampled irregularly and observed in part."""
