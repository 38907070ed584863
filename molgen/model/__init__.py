"""The network: configuration, encoder, decoder, GraphVAE, latent prior, checkpoints."""
