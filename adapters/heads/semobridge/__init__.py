"""SeMoBridge: images carried to the side of the text, in closed form and trained."""
