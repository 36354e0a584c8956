"""Tables that list images, one kind a file: how their text is read, which column is what, which file a row means."""
