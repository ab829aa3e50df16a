"""Questions about methods, asked of one's own results and answered with statistics."""
