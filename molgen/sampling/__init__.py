"""The model at work: partial molecules, decoding, likelihood, processes."""
