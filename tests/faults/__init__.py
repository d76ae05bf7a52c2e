"""What goes wrong between the bot and a homeserver, done on purpose."""
