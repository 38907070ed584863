"""The network: configuration, encoder, decoder, GraphVAE, latent prior, checkpoints."""

from molgen.base.fronts import front_of

__all__, __getattr__, __dir__ = front_of(__name__)
