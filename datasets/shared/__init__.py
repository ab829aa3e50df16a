"""What several datasets share, and the further parts of those that are more than one file."""
