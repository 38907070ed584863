"""Commands that serve the developer: comparisons of outputs, figures of the house."""
