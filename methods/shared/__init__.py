"""Networks, losses and steps that several methods share."""
