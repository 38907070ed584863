"""What knows no trial: arguments, records, written files, storage, Parquet."""
