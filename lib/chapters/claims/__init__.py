"""The briefing's claims: the register, what each check looks at, and the verdict that follows from it."""
