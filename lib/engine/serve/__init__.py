"""The engine as a process: started, guarded, read back, asked, stopped."""
