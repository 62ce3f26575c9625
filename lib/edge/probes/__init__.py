"""What an attacker would try, from outside: each probe asks one thing and says what came back."""
