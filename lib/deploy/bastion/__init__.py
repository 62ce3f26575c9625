"""The way in from outside: every file of the VPS and of the home side, and the service that judges keys."""
