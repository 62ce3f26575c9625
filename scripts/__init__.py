"""Set-up: what runs before there is an environment to run in. Standard library only, except for `lock`."""
