"""A grid over shots and seeds as one program, chosen honestly: trials, choice, table, picture."""
