"""Disposable twins of the hosts: what is applied there was rehearsed here."""
