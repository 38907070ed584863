"""Reading a series of measured compounds: R-groups, Free-Wilson, matched pairs, cliffs."""
