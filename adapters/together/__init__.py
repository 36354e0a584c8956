"""The images to be answered, seen together: shifted class frequencies, transduction, streams; never by default."""
