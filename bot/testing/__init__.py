"""What tests of the bot and of plugins are made with; shipped, since third parties test too."""
