"""Tables for people: as text, Markdown, CSV, LaTeX and one HTML page. Rounding happens here and nowhere else."""
