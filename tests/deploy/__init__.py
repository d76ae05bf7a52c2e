"""What an admin gets: the wheel, the image's steps, the systemd unit, the compose file."""
