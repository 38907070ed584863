"""A chemist's verbs: scaffolds, cutting, growing, property windows, balancing, the Generator."""
