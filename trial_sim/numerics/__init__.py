"""Numbers below statistics: random streams, buffers, roots, hazards, multivariate normal."""
