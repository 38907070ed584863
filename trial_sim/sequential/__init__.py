"""Group-sequential designs: bounds, spending, integration, futility, inference, monitoring."""
