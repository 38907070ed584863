"""A lead and what is near it: changes, analogues, their ranking, paths between two molecules."""
