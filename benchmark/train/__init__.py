"""One job: from its data to its predictions."""
