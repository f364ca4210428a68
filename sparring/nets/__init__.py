"""Who plays: generators and critics for each kind of data."""
