"""What an audit compares: tables, patients, curves, outcomes, intervals, measures."""
