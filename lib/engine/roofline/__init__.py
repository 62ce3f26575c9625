"""What the machine allows, what a step of the model needs, and where a step's time really goes."""
