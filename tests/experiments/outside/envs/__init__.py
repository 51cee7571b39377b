"""A package of the user's that is called as one of bellmax's."""
