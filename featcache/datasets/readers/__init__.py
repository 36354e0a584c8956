"""Images read in place by their ids: files of a folder, a zip, tars or a URL, rows of a table."""
