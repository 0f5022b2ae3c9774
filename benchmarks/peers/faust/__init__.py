"""Plain Faust."""
