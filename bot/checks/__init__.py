"""What `check` looks at, a module a subject: this machine, the homeserver, the account there, its rooms."""
