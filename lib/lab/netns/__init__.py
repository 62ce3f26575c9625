"""The fast tier of the lab: twins as namespaces of this kernel, with their own network, processes and files."""
