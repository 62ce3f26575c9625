"""The UPS on a host: the files of NUT, and the program that runs when the mains go."""
