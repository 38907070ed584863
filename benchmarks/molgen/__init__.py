"""Commands that measure what is claimed of molgen."""
