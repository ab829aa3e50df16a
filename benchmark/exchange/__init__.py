"""Results from elsewhere."""
