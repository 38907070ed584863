"""Files in and out: molecules, data sets, tables, records of provenance."""
