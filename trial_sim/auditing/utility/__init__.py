"""Do conclusions hold: training on synthetic, replication, error rates."""
