"""How a search is shown: table, notes, picture, page."""
