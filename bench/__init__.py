"""What measures speed, against a floor or a peer in the same run."""
