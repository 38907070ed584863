"""What a synthetic table gives away: attacks, membership, small cells."""
