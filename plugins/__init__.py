"""The plugins that come with the bot."""
