"""The memory: files and chats that the owner's models can look things up in."""
