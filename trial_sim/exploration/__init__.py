"""What if: grids of scenarios, search over designs, assurance by simulation, report."""
