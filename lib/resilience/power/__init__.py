"""What the host does when the mains go: NUT, an order of events, and the time that is left."""
