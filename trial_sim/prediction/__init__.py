"""An ongoing trial: when, how many, will it succeed."""
