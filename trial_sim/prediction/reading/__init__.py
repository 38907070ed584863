"""Patient data of an ongoing trial, checked at the border: tables, trials, ADaM."""
