"""simulate, operating characteristics, replay, files of results."""
