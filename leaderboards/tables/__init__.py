"""Tables as tidy frames at full precision, made of results."""
