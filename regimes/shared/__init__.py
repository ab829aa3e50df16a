"""What segmenters are built of: packed conversations, messages of hidden Markov models, Gaussians, samplers."""
