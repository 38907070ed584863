"""What a trial plans: Design, accrual, looks, randomisation, the names of tests."""
