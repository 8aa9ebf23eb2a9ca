"""Ground floor: frozen values and pure rules. No disk, no database, no clock; time and randomness are arguments."""
