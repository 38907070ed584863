"""What hung where in known molecules: cuts, counts, tables, proposals."""
