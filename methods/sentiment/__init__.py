"""Networks of multimodal sentiment analysis: what every table of that field has."""
