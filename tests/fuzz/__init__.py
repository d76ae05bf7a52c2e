"""Whatever people and their servers send: laws that hold for it, and a table of who may do what."""
