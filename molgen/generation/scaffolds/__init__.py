"""Growing from parts: scaffolds with exits, fragments to join, cores to replace."""
