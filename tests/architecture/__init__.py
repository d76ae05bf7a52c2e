"""What a machine can check about the house: its arrows, its files, its documentation."""
