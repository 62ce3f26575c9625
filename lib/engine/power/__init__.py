"""The power map: speed, power and heat of a card against its power limit."""
