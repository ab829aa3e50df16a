"""Methods of trusted fusion: each modality is heeded as far as it is sure, sample by sample."""
