"""What is put onto a host: templates rendered from a profile, and verified before they go anywhere."""
