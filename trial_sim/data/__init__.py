"""Patients in: Trial, endpoints, schema, constraints, CDISC, built-in trials."""
