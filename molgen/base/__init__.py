"""What knows no chemistry: parallel work, arguments, random streams, whole files, YAML."""
