"""What an array costs, as a record and as a table."""
