"""From wishes to one number: desirability, kinds, components, values, objectives."""
