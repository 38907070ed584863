"""Numbers below statistics: random streams, buffers, roots, piecewise hazards, multivariate normal."""
