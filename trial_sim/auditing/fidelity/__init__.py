"""Does the synthetic trial look like the real one: margins, effects, balance."""
